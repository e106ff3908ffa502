"""The section [tracing] of the configuration."""

from typing import Annotated

from pydantic import Field

from privyseald.config_section import Section, Url


class TracingConfig(Section):
    """Traces by OpenTelemetry, to a collector that takes OTLP over HTTP.

    `endpoint` is its base URL; without it the standard OTEL_* variables count. `ratio` is the
    share of the RPCs that are traced where the caller does not decide it.
    """

    enabled: bool = False
    endpoint: Url | None = None
    ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
