"""The version before the active one, as a key's document names it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from privyseald.secretstore.refusals import document_malformed

PREVIOUS_FIELDS = frozenset({"previous_version", "previous_until_ms"})
_NUMBER = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Previous:
    """A version that was replaced, and the Unix time until which it may sign still."""

    version: int
    until_ms: int = 0

    def is_over(self, now_ms: int) -> bool:
        """Whether it may sign no more."""
        return self.until_ms <= now_ms

    def to_record(self) -> dict[str, str]:
        """Return the fields of the document that say so."""
        return {"previous_version": str(self.version), "previous_until_ms": str(self.until_ms)}


def read_previous(record: Mapping[str, str]) -> Previous | None:
    """Return what a document says of the version before. Raises CredentialMalformed."""
    if not PREVIOUS_FIELDS & record.keys():
        return None
    for name in sorted(PREVIOUS_FIELDS):
        if not _NUMBER.fullmatch(record.get(name, "")):
            raise document_malformed(name, "must be a number: both have to stand, or none")
    return Previous(int(record["previous_version"]), int(record["previous_until_ms"]))
