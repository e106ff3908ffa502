"""The table of signers, new keys, and that no way of looking shows a secret."""

import copy
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fakes import credential
from privyseald.errors import AlgorithmUnsupported, FieldInvalid
from privyseald.key import Algorithm
from privyseald.signing.generate import generate
from privyseald.signing.schemes import make_signer, material_field
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Signer

CANARY = "ca7a41e5" * 8
PEM = (
    ec.derive_private_key(int(CANARY, 16), ec.SECP256R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
MATERIAL = {**dict.fromkeys(Algorithm, CANARY), Algorithm.ECDSA_P256: PEM}
PUBLIC_KEY_ALGORITHMS = [Algorithm.SECP256K1, Algorithm.ED25519, Algorithm.ECDSA_P256]
every_algorithm = pytest.mark.parametrize("algorithm", list(Algorithm))


def shows(text: str | bytes) -> bool:
    """Whether a text holds the canary, as hex, as bytes, as a number or as lines of a PEM."""
    data = text.encode() if isinstance(text, str) else text
    number = str(int(CANARY, 16)).encode()
    lines = PEM.encode().splitlines()[1:3]
    return any(each in data for each in (CANARY.encode(), bytes.fromhex(CANARY), number, *lines))


@every_algorithm
def test_a_signer_is_of_its_algorithm(algorithm: Algorithm) -> None:
    """The table gives a signer of the algorithm that was asked for."""
    assert algorithm is make_signer(algorithm, SecretBytes(MATERIAL[algorithm])).algorithm


@every_algorithm
async def test_no_way_of_looking_at_a_signer_shows_its_secret(algorithm: Algorithm) -> None:
    """repr, str, format and the public attributes hold nothing of the secret."""
    signer = make_signer(algorithm, SecretBytes(MATERIAL[algorithm]))
    for text in (repr(signer), str(signer), f"{signer}", signer.public_id, signer.public_key_pem):
        assert not shows(text)
    assert not hasattr(signer, "__dict__")


@every_algorithm
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_signer_and_a_credential_cant_be_pickled(algorithm: Algorithm, protocol: int) -> None:
    """No pickle can carry a secret out of the process."""
    opened = credential("whitebit", algorithm, MATERIAL[algorithm], {"api_key": "public"})
    for each in (opened.signer, opened):
        with pytest.raises(TypeError):
            pickle.dumps(each, protocol)


@every_algorithm
def test_a_credential_shows_its_public_half_only(algorithm: Algorithm) -> None:
    """The repr of a credential has the key's fields, and neither signer nor secret."""
    opened = credential("whitebit", algorithm, MATERIAL[algorithm], {"api_key": "public-id-1"})
    assert "public-id-1" in repr(opened)
    assert "signer" not in repr(opened).lower()
    assert not shows(repr(opened))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_secret_bytes_cant_be_pickled(protocol: int) -> None:
    """Pickle and copy refuse a secret."""
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(SecretBytes(CANARY), protocol)
    with pytest.raises(TypeError, match="can't be pickled"):
        copy.deepcopy(SecretBytes(CANARY))


def test_secret_bytes_show_nothing() -> None:
    """repr, str, format and % of a secret are the same for every secret."""
    one, other = SecretBytes(CANARY), SecretBytes("other")
    shown = [f"{one}", f"{one!r}", str(one), "%s" % one, str([one])]  # noqa: UP031  # the old way too
    assert shown == [f"{other}", f"{other!r}", str(other), "%s" % other, str([other])]  # noqa: UP031
    assert repr(one) == "SecretBytes(hidden)"


def test_secret_bytes_are_no_bytes() -> None:
    """What takes bytes does not take a secret by accident."""
    with pytest.raises(TypeError):
        bytes(SecretBytes(CANARY))  # type: ignore[call-overload]  # that is the point
    with pytest.raises(TypeError):
        hash(SecretBytes(CANARY))


def test_secret_bytes_compare_by_value() -> None:
    """Equal secrets are equal, whether given as text, bytes or a buffer; nothing else is."""
    one = SecretBytes("a-secret")
    assert one == SecretBytes(b"a-secret") == SecretBytes(bytearray(b"a-secret"))
    assert one != SecretBytes("another")
    assert one != "a-secret"
    assert len(one) == 8


def test_wiped_secret_bytes_are_zeros() -> None:
    """After a wipe the buffer holds nothing of the secret."""
    material = SecretBytes(CANARY)
    material.wipe()
    assert material.reveal() == bytes(64)


@pytest.mark.parametrize("algorithm", PUBLIC_KEY_ALGORITHMS)
def test_new_keys_are_taken_by_their_signer_and_differ(algorithm: Algorithm) -> None:
    """A generated key is as long as any other, is ASCII, makes a signer, and comes once."""
    made = [generate(algorithm) for _ in range(50)]
    assert {len(each) for each in made} == {len(MATERIAL[algorithm])}
    assert all(each.reveal().isascii() for each in made)
    signers: list[Signer] = [make_signer(algorithm, each) for each in made]
    assert len({signer.public_id for signer in signers}) == len(made)


@pytest.mark.parametrize("algorithm", [Algorithm.HMAC_SHA256, Algorithm.HMAC_SHA512])
def test_a_shared_secret_is_not_generated(algorithm: Algorithm) -> None:
    """Only the venue can issue a shared secret."""
    with pytest.raises(AlgorithmUnsupported, match="the venue issues"):
        generate(algorithm)


@every_algorithm
def test_bad_material_is_blamed_on_the_field_that_holds_it(algorithm: Algorithm) -> None:
    """The error of a signer names the field that `material_field` names."""
    with pytest.raises(FieldInvalid) as caught:
        make_signer(algorithm, SecretBytes(CANARY + " "))
    assert material_field(algorithm) == caught.value.field
    assert not shows(caught.value.message)
    assert not shows(repr(caught.value.metadata))
