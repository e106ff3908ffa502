"""HMAC against RFC 4231, and the rules for a secret's text."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseald.errors import FieldInvalid
from privyseald.key import Algorithm
from privyseald.signing.hmac import HmacSigner, check_text
from privyseald.signing.secret import SecretBytes

HMACS = [Algorithm.HMAC_SHA256, Algorithm.HMAC_SHA512]
TEXTS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=512)

# RFC 4231, section 4.3: the only case whose key is a text, as venues' secrets are.
RFC_4231_2 = {
    Algorithm.HMAC_SHA256: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    Algorithm.HMAC_SHA512: (
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
    ),
}
HASHES = {Algorithm.HMAC_SHA256: hashlib.sha256, Algorithm.HMAC_SHA512: hashlib.sha512}


@pytest.mark.parametrize("algorithm", HMACS)
async def test_the_mac_is_that_of_rfc_4231(algorithm: Algorithm) -> None:
    """Test case 2 of RFC 4231 gives the printed MAC."""
    signer = HmacSigner(algorithm, SecretBytes("Jefe"))
    mac = await signer.sign(b"what do ya want for nothing?")
    assert RFC_4231_2[algorithm] == mac.hex()


@pytest.mark.parametrize("algorithm", HMACS)
@given(material=TEXTS, messages=st.lists(st.binary(max_size=300), min_size=2, max_size=4))
async def test_a_signer_gives_the_same_macs_however_often_it_is_used(
    algorithm: Algorithm, material: str, messages: list[bytes]
) -> None:
    """Signing leaves no trace in the signer: each MAC is that of a fresh HMAC."""
    signer = HmacSigner(algorithm, SecretBytes(material))
    expected = [hmac.digest(material.encode(), each, HASHES[algorithm]) for each in messages]
    assert expected == [await signer.sign(each) for each in messages]


def test_a_signer_survives_the_wiping_of_its_material() -> None:
    """What a store wipes after making a signer is not needed any more."""
    material = SecretBytes("test-secret")
    signer = HmacSigner(Algorithm.HMAC_SHA256, material)
    material.wipe()
    assert material.reveal() == bytes(11)
    assert Algorithm.HMAC_SHA256 is signer.algorithm


async def test_wiped_material_leaves_the_signature_as_it_was() -> None:
    """The MAC after a wipe is the MAC before it."""
    material = SecretBytes("test-secret")
    signer = HmacSigner(Algorithm.HMAC_SHA256, material)
    expected = await signer.sign(b"x")
    material.wipe()
    assert expected == await signer.sign(b"x")


def test_a_shared_secret_has_no_public_half() -> None:
    """An HMAC signer tells neither id nor public key."""
    signer = HmacSigner(Algorithm.HMAC_SHA256, SecretBytes("test-secret"))
    assert (signer.public_id, signer.public_key_pem) == ("", "")


@pytest.mark.parametrize(
    "material",
    ["", "x" * 513, "canary secret", "canary\n", "\tcanary", "canary\x00", "canaryé", "canary\x7f"],
    ids=["empty", "long", "space", "newline", "tab", "nul", "non-ascii", "delete"],
)
@pytest.mark.parametrize("field", ["api_secret", "venue_secret"])
def test_a_text_that_is_no_secret_is_refused_by_field(material: str, field: str) -> None:
    """The error names the field and shows nothing of the value."""
    with pytest.raises(FieldInvalid) as caught:
        check_text(SecretBytes(material), field)
    assert field == caught.value.field
    assert "canary" not in caught.value.message
    assert "xxx" not in caught.value.message


def test_the_longest_and_the_shortest_text_are_taken() -> None:
    """One byte and 512 bytes are a secret."""
    for length in (1, 512):
        assert b"x" * length == check_text(SecretBytes("x" * length))
