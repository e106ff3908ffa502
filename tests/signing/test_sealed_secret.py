import pytest

from privyseald.errors import FieldInvalid
from privyseald.signing.sealed_box import OpeningKey, SealingKey, generate_opening_key
from privyseald.signing.sealed_secret import open_secret, seal_secret
from privyseald.signing.secret import SecretBytes

SECRET = SecretBytes("test-secret")


@pytest.fixture
def opening_key() -> OpeningKey:
    """A service's private half."""
    return OpeningKey(generate_opening_key())


def seal(opening_key: OpeningKey) -> bytes:
    """Seal as a custodian does, who has the raw public key alone."""
    return seal_secret(SealingKey.from_raw(opening_key.sealing_key.raw), SECRET, "wb", "whitebit")


def test_a_sealed_secret_opens(opening_key: OpeningKey) -> None:
    """What was sealed for a key id and venue comes out for them, framed as is documented."""
    sealed = seal(opening_key)

    assert SECRET == open_secret(opening_key, sealed, "wb", "whitebit")
    assert b"PSS1" + bytes.fromhex(opening_key.sealing_key.fingerprint) == sealed[:20]
    assert 20 + 32 + len(SECRET) + 16 == len(sealed)


@pytest.mark.parametrize(
    ("key_id", "venue"), [("wc", "whitebit"), ("wb", "kiiex"), ("wb\nwhitebit", ""), ("", "")]
)
def test_a_sealed_secret_opens_under_no_other_name(
    opening_key: OpeningKey, key_id: str, venue: str
) -> None:
    """Key id and venue are bound, and a refusal says for which two to seal."""
    with pytest.raises(FieldInvalid, match="sealed for another key id or venue than") as raised:
        open_secret(opening_key, seal(opening_key), key_id, venue)

    assert "sealed" == raised.value.field


def test_no_bit_can_be_changed(opening_key: OpeningKey) -> None:
    """Each byte counts: magic, fingerprint, encapsulated key, ciphertext and tag."""
    sealed = seal(opening_key)
    for index in range(len(sealed)):
        changed = bytearray(sealed)
        changed[index] ^= 1
        with pytest.raises(FieldInvalid):
            open_secret(opening_key, bytes(changed), "wb", "whitebit")


def test_no_part_is_a_whole(opening_key: OpeningKey) -> None:
    """What is cut short, or empty, is refused."""
    sealed = seal(opening_key)
    for length in range(len(sealed)):
        with pytest.raises(FieldInvalid):
            open_secret(opening_key, sealed[:length], "wb", "whitebit")


def test_a_key_that_was_replaced_is_told(opening_key: OpeningKey) -> None:
    """A secret for an older key of the service is told from one that was changed."""
    with pytest.raises(FieldInvalid, match="is sealed to another key than this service's present"):
        open_secret(OpeningKey(generate_opening_key()), seal(opening_key), "wb", "whitebit")


def test_what_is_no_sealed_secret_is_told(opening_key: OpeningKey) -> None:
    """The base64 text in place of its bytes is the commonest slip, and has words of its own."""
    with pytest.raises(FieldInvalid, match="send its bytes as they are"):
        open_secret(opening_key, b"UFNTMQ==", "wb", "whitebit")


def test_a_sealing_key_has_32_bytes() -> None:
    """What is no public key is refused when it is read, and not when it is used."""
    with pytest.raises(ValueError, match="32 bytes"):
        SealingKey.from_raw(b"short")
