"""A section of the configuration, and the kinds of values in it."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Milliseconds = Annotated[int, Field(ge=0, le=86_400_000)]
TimeOut = Annotated[int, Field(ge=1, le=600_000)]
Url = Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.\[\]:-]+(?:/[A-Za-z0-9._~/-]*)?$")]
VaultPath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-]+)*$")]


_ADDRESS = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})")


def _address(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    # gRPC takes a port above 65535 without a word, and listens on another.
    if match is None or int(match[1]) > 65_535:
        raise ValueError("must be a host and a port up to 65535, such as 127.0.0.1:7443")
    return text


Address = Annotated[str, AfterValidator(_address)]


def is_open(url: str) -> bool:
    """Whether a URL carries what is sent in clear over a network, not only over loopback."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}


class Section(BaseModel):
    """Frozen, and without room for a setting that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)
