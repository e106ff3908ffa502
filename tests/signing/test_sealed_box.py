import pytest

from privyseald.errors import FieldInvalid
from privyseald.signing.sealed_box import BoxBroken, OpeningKey, generate_opening_key
from privyseald.signing.secret import SecretBytes

PLAIN = b"canary-a94f0b7e51c3-2d68c07b9e14"
# RFC 9180, appendix A.1 (X25519, HKDF-SHA256): the key pair of the recipient.
PRIVATE = "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"


def test_a_box_opens_with_its_key_and_what_was_bound() -> None:
    """What is sealed comes back, and each box of the same bytes is another."""
    key = OpeningKey(generate_opening_key())
    boxes = [key.sealing_key.seal(PLAIN, b"bound") for _ in range(2)]

    assert [PLAIN, PLAIN] == [key.open(box, b"bound") for box in boxes]
    assert boxes[0] != boxes[1]
    assert PLAIN not in boxes[0]


@pytest.mark.parametrize("place", [0, 31, 32, -1])
def test_a_changed_box_opens_nothing(place: int) -> None:
    """A bit turned in the encapsulated key, the ciphertext or the tag is found."""
    key = OpeningKey(generate_opening_key())
    box = bytearray(key.sealing_key.seal(PLAIN, b""))
    box[place] ^= 1
    with pytest.raises(BoxBroken):
        key.open(bytes(box), b"")


@pytest.mark.parametrize("length", [0, 1, 32, 47, 70])
def test_a_short_box_opens_nothing(length: int) -> None:
    """A box that was cut is refused at any length."""
    key = OpeningKey(generate_opening_key())
    with pytest.raises(BoxBroken):
        key.open(key.sealing_key.seal(PLAIN, b"")[:length], b"")


def test_another_key_or_context_opens_nothing() -> None:
    """Only the private half opens, and only with the same bound bytes."""
    key, other = (OpeningKey(generate_opening_key()) for _ in range(2))
    box = key.sealing_key.seal(PLAIN, b"keys/one")
    for opener, bound in ((other, b"keys/one"), (key, b"keys/two")):
        with pytest.raises(BoxBroken):
            opener.open(box, bound)


def test_the_fingerprint_is_of_the_public_half() -> None:
    """One private half has one fingerprint, as short hex; another has another."""
    first, again = OpeningKey(SecretBytes(PRIVATE)), OpeningKey(SecretBytes(PRIVATE))
    other = OpeningKey(generate_opening_key())

    assert first.sealing_key.fingerprint == again.sealing_key.fingerprint
    assert 32 == len(first.sealing_key.fingerprint)
    assert first.sealing_key.fingerprint != other.sealing_key.fingerprint


@pytest.mark.parametrize("text", ["", "zz" * 32, "00" * 31, "00" * 33, "\xff"])
def test_what_is_no_private_half_is_refused(text: str) -> None:
    """The refusal names the field and what it must be, not what it is."""
    with pytest.raises(FieldInvalid, match="private_key: must be 64 hex digits"):
        OpeningKey(SecretBytes(text))
