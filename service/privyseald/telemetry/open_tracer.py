"""Makes what writes traces, where the configuration wants them."""

from contextlib import AsyncExitStack

from privyseald.config_error import ConfigInvalid
from privyseald.tracer import Tracer
from privyseald.tracing_config import TracingConfig


def open_tracer(config: TracingConfig, worker: int, opened: AsyncExitStack) -> Tracer | None:
    """Return it, None where there is none; it ends with the stack. Raises ConfigInvalid."""
    if not config.enabled:
        return None
    try:
        # Here, because OpenTelemetry is an extra, and costs half a second of the start.
        from privyseald.telemetry.otel import OtelTracer  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigInvalid(
            "tracing.enabled needs packages that are not installed: install the extra with "
            "'pip install privyseald[tracing]', or set tracing.enabled = false"
        ) from error
    try:
        tracer = OtelTracer.open(config, worker)
    except ValueError as error:
        # What it says may quote a variable, and one of them holds credentials.
        raise ConfigInvalid(
            "tracing.enabled: OpenTelemetry refuses what its variables OTEL_* say; mend those of "
            "this process, or set tracing.enabled = false"
        ) from error
    opened.push_async_callback(tracer.close)
    return tracer
