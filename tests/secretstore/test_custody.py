import pytest

from privyseald.errors import CredentialMalformed
from privyseald.key import Key, KeyState
from privyseald.secretstore.custody import TransitPlace
from privyseald.secretstore.document import open_document, read_record

RECORD = {"venue": "whitebit", "algorithm": "hmac-sha512", "custody": "transit"}
KEY = Key("k", "v", "", "", "", KeyState.ENABLED, 1, 0, 0)


@pytest.mark.parametrize(
    "place",
    [
        TransitPlace(),
        TransitPlace("desk/transit", "a-name.v2", is_ours=True),
    ],
)
def test_a_place_survives_the_record(place: TransitPlace) -> None:
    """Mount, name and owner are read as they were written, and no secret is asked for."""
    document = read_record({**RECORD, **place.to_record()})

    assert (document.transit, document.material) == (place, None)
    assert document.to_record() == {
        **RECORD,
        **place.to_record(),
        "schema": "1",
        "environment": "",
        "state": "ENABLED",
    }


def test_the_place_has_defaults() -> None:
    """`custody` alone means the key's id at the mount `transit`, and not ours to delete."""
    assert read_record(RECORD).transit == TransitPlace("transit", "", is_ours=False)


@pytest.mark.parametrize(
    ("extra", "field", "problem"),
    [
        ({"custody": "hsm"}, "custody", "must be 'kv' or 'transit'"),
        ({"algorithm": "secp256k1"}, "custody", "has no secp256k1; keep it in KV"),
        ({"api_secret": "x"}, "api_secret", "must not be there"),
        ({"transit_mount": "../sys"}, "transit_mount", "must be a mount"),
        ({"transit_mount": ""}, "transit_mount", "must be a mount"),
        ({"transit_key": "a/b"}, "transit_key", "must be the name"),
        ({"transit_key": "a?b"}, "transit_key", "must be the name"),
        ({"custody": "kv", "transit_key": "a"}, "transit_key", "custody 'transit'"),
    ],
)
def test_a_wrong_place_is_named(extra: dict[str, str], field: str, problem: str) -> None:
    """Each field that contradicts, or would name another path in Vault, is refused by name."""
    with pytest.raises(CredentialMalformed, match=problem) as caught:
        read_record({**RECORD, **extra})

    assert caught.value.metadata == {"field": field}


def test_a_store_without_transit_opens_none() -> None:
    """The embedded store says that such a key belongs into Vault."""
    with pytest.raises(CredentialMalformed, match="only a store in Vault has"):
        open_document(KEY, read_record(RECORD))
