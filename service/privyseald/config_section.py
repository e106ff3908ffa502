"""A section of the configuration, and the kinds of values in it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Milliseconds = Annotated[int, Field(ge=0, le=86_400_000)]
Address = Annotated[str, Field(pattern=r"^(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}$")]
Url = Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.\[\]:-]+(?:/[A-Za-z0-9._~/-]*)?$")]
VaultPath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-]+)*$")]


class Section(BaseModel):
    """Frozen, and without room for a setting that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)
