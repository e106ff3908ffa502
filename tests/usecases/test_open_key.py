from dataclasses import replace
from pathlib import Path

import pytest

from fakes import FakeClock, credential
from privyseald.errors import CredentialMalformed
from privyseald.key import Algorithm
from privyseald.nonces import NonceSource
from privyseald.signing.signer import Predecessor
from privyseald.state.embedded import EmbeddedState
from privyseald.usecases.open_key import match_venue
from privyseald.venues.registry import Venues
from usecases.desk import Desk, document


async def test_one_api_key_has_one_counter_however_its_document_is_written(
    tmp_path: Path,
) -> None:
    """A document written by hand without an environment, or with a public id of its own,
    shares its nonces with the one that was imported.
    """
    desk = Desk(tmp_path)
    await desk.store.create("imported", document())
    await desk.store.create("by-hand", document(environment=""))
    await desk.store.create("noted", replace(document(), public_id="another text"))
    state = EmbeddedState.open_path(tmp_path / "marks")
    nonces = NonceSource(state, FakeClock())
    given = []
    for key_id in ("imported", "by-hand", "noted"):
        opened = await desk.open_key(key_id)
        policy = opened.venue.nonce_policy(opened.credential, None)
        given.append((await nonces.reserve(opened.credential.key, policy)).nonce)

    assert 3 == len(set(given))
    await state.close()


def test_a_wallet_is_known_by_its_address() -> None:
    """Where the venue names no field, the key itself tells who it is."""
    opened = match_venue(credential("aster", Algorithm.SECP256K1, "11" * 32), Venues())

    assert "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A" == opened.credential.key.public_id
    assert "production" == opened.credential.key.environment


@pytest.mark.parametrize(
    ("venue", "environment", "field"),
    [("nowhere", "production", "venue"), ("whitebit", "moon", "environment")],
)
def test_a_document_that_fits_no_venue_is_malformed(
    venue: str, environment: str, field: str
) -> None:
    """The document is to blame, not the caller: the message names its field."""
    wrong = credential(
        venue, Algorithm.HMAC_SHA512, "secret", {"api_key": "k"}, environment=environment
    )
    with pytest.raises(CredentialMalformed) as caught:
        match_venue(wrong, Venues())

    assert field == caught.value.metadata["field"]


def test_a_version_before_that_fits_no_venue_is_as_good_as_gone() -> None:
    """It is not the active version's fault, which opens; one that fits opens beside it."""
    good, bad = (
        credential("whitebit", Algorithm.HMAC_SHA512, "secret", {name: "k"})
        for name in ("api_key", "no_field")
    )
    fits, fits_not = (
        match_venue(replace(good, previous=Predecessor(7, before)), Venues())
        for before in (good, bad)
    )

    assert fits.previous is not None
    assert (7, good.key) == (fits.previous_until_ms, fits.previous.credential.key)
    assert fits_not.previous is None
