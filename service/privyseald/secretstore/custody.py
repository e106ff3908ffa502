"""Where the secret half of a key lives: in its document, or in Vault's transit engine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from privyseald.key import Algorithm
from privyseald.secretstore.refusals import document_malformed

OWN_FIELDS = frozenset({"custody", "transit_mount", "transit_key", "transit_owner"})
NO_SECP256K1 = "Vault's transit engine has no secp256k1; keep it in KV"
_OURS = "privyseald"
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


class Custody(StrEnum):
    """Where a store puts the secrets of new keys."""

    KV = "kv"
    TRANSIT = "transit"
    TRANSIT_WHERE_POSSIBLE = "transit-where-possible"


@dataclass(frozen=True, slots=True)
class TransitPlace:
    """A key in a transit engine. An empty name is the key's id; ours are deleted with the key."""

    mount: str = "transit"
    name: str = ""
    is_ours: bool = False

    def to_record(self) -> dict[str, str]:
        """Return the fields of the document that say so."""
        fields = {"custody": Custody.TRANSIT.value, "transit_mount": self.mount}
        if self.name:
            fields["transit_key"] = self.name
        if self.is_ours:
            fields["transit_owner"] = _OURS
        return fields


def read_place(record: Mapping[str, str], algorithm: Algorithm) -> TransitPlace | None:
    """Return where the transit engine holds the key; None where the document does.

    Raises CredentialMalformed.
    """
    custody = record.get("custody", Custody.KV.value)
    if custody == Custody.KV.value:
        if astray := sorted(OWN_FIELDS & record.keys() - {"custody"}):
            raise document_malformed(astray[0], "belongs to a key with custody 'transit'")
        return None
    if custody != Custody.TRANSIT.value:
        raise document_malformed("custody", "must be 'kv' or 'transit'")
    if algorithm is Algorithm.SECP256K1:
        raise document_malformed("custody", f"is 'transit', but {NO_SECP256K1}")
    place = TransitPlace(
        record.get("transit_mount", TransitPlace().mount),
        record.get("transit_key", ""),
        record.get("transit_owner") == _OURS,
    )
    if not _PATH.fullmatch(place.mount):
        raise document_malformed("transit_mount", "must be a mount, as in transit")
    if place.name and (not _PATH.fullmatch(place.name) or "/" in place.name):
        raise document_malformed("transit_key", "must be the name of a transit key")
    return place
