"""ECDSA on P-256 against RFC 6979 and RFC 7515, in every form that a key may be given in."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_public_key,
)

from privyseald.errors import FieldInvalid
from privyseald.key import Algorithm
from privyseald.signing.ecdsa_p256 import EcdsaP256Signer, pkcs8
from privyseald.signing.secret import SecretBytes

# RFC 6979, section A.2.5: the private key, its public point, a signature of "sample".
RFC_6979_X = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"
RFC_6979_UX = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
RFC_6979_UY = "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
RFC_6979_SAMPLE = (
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
)
# RFC 7515, section A.3: `d` of the key, what is signed, and the signature.
RFC_7515_D = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
RFC_7515_INPUT = (
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
    "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
RFC_7515_SIGNATURE = (
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | Ed25519PrivateKey


def pem(key: PrivateKey, form: PrivateFormat = PrivateFormat.PKCS8, passphrase: bytes = b"") -> str:
    """Return the key as PEM, encrypted where a passphrase is given."""
    sealed = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, sealed).decode()


def unpadded(text: str) -> bytes:
    """Return the bytes of base64url as JWS writes it."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signer_of(key: ec.EllipticCurvePrivateKey) -> EcdsaP256Signer:
    """Return the signer of a key."""
    return EcdsaP256Signer(SecretBytes(pem(key)))


KEY = ec.derive_private_key(int(RFC_6979_X, 16), ec.SECP256R1())
SEC1 = pem(KEY, PrivateFormat.TraditionalOpenSSL)
# What `openssl ecparam -genkey` prints before the key.
PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
PUBLIC_ID = base64.b64encode(bytes.fromhex("03" + RFC_6979_UX)).decode()


@pytest.mark.parametrize(
    "material",
    [pem(KEY), "\n" + pem(KEY), pem(KEY).replace("\n", "\r\n"), SEC1, PARAMETERS + SEC1],
    ids=["pkcs8", "after a newline", "crlf", "sec1", "sec1 after its parameters"],
)
def test_the_public_half_is_that_of_rfc_6979(material: str) -> None:
    """Every form of the RFC's private key gives its public point, as id and as PEM."""
    signer = EcdsaP256Signer(SecretBytes(material))

    told = load_pem_public_key(signer.public_key_pem.encode())
    assert isinstance(told, ec.EllipticCurvePublicKey)
    assert isinstance(told.curve, ec.SECP256R1)
    numbers = told.public_numbers()
    assert (int(RFC_6979_UX, 16), int(RFC_6979_UY, 16)) == (numbers.x, numbers.y)
    assert (PUBLIC_ID, Algorithm.ECDSA_P256) == (signer.public_id, signer.algorithm)
    expected = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert expected.decode() == signer.public_key_pem


@pytest.mark.parametrize("message", [b"", b"sample", bytes(100_000)])
async def test_a_signature_is_verified_by_the_public_half(message: bytes) -> None:
    """What is signed is r and s over SHA-256 of the message, another time other ones."""
    signer = signer_of(KEY)

    signature = await signer.sign(message)

    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    KEY.public_key().verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
    assert signature != await signer.sign(message)


async def test_r_and_s_keep_their_width() -> None:
    """Numbers that begin with zero bytes are padded: each of many signatures has 64 bytes."""
    signer = signer_of(KEY)
    signatures = [await signer.sign(b"m") for _ in range(4_000)]

    assert {len(signature) for signature in signatures} == {64}
    for at in (0, 32):
        padded = [signature for signature in signatures if signature[at] == 0]
        assert padded
        assert all(signer.verifies(b"m", signature) for signature in padded)


def test_the_published_signatures_are_verified() -> None:
    """The ES256 sample of RFC 7515 and the signature of RFC 6979 are those of their keys."""
    number = int.from_bytes(unpadded(RFC_7515_D), "big")
    jws = signer_of(ec.derive_private_key(number, ec.SECP256R1()))
    assert jws.verifies(RFC_7515_INPUT.encode(), unpadded(RFC_7515_SIGNATURE))
    assert signer_of(KEY).verifies(b"sample", bytes.fromhex(RFC_6979_SAMPLE))


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(64),
        b"\xff" * 64,
        bytes.fromhex(RFC_6979_SAMPLE)[:-1],
        bytes.fromhex(RFC_6979_SAMPLE) + b"\0",
        bytes.fromhex(RFC_6979_SAMPLE)[32:] + bytes.fromhex(RFC_6979_SAMPLE)[:32],
        unpadded(RFC_7515_SIGNATURE),
    ],
    ids=["empty", "zeros", "too large", "short", "long", "swapped", "another's"],
)
def test_what_is_no_signature_is_not_verified(signature: bytes) -> None:
    """Another length, numbers out of range and another key's signature are told apart."""
    assert not signer_of(KEY).verifies(b"sample", signature)


def test_pkcs8_is_the_same_key() -> None:
    """The DER for Vault's import is the private key, without a passphrase."""
    loaded = load_der_private_key(pkcs8(SecretBytes(SEC1)), password=None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    assert KEY.private_numbers() == loaded.private_numbers()


def test_repr_hides_the_private_key() -> None:
    """A signer shows its public id, and nothing else."""
    assert f"EcdsaP256Signer({PUBLIC_ID})" == repr(signer_of(KEY))


@pytest.mark.parametrize(
    "material",
    [
        "",
        "canary",
        RFC_6979_X,
        pem(KEY) + "é",
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n",
        PARAMETERS,
        pem(KEY, passphrase=b"canary"),
        pem(KEY, PrivateFormat.TraditionalOpenSSL, b"canary"),
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ec.generate_private_key(ec.SECP256K1())),
        pem(rsa.generate_private_key(65537, 2048)),
        pem(Ed25519PrivateKey.generate()),
    ],
    ids=[
        "empty",
        "a word",
        "hex",
        "non-ascii after the pem",
        "broken pem",
        "parameters alone",
        "encrypted pkcs8",
        "encrypted sec1",
        "public half",
        "P-384",
        "secp256k1",
        "rsa",
        "ed25519",
    ],
)
def test_what_is_no_key_is_refused_by_field(material: str) -> None:
    """The error names `private_key` and the form to give, and shows nothing of the value."""
    with pytest.raises(FieldInvalid, match="PKCS#8 or SEC 1 PEM without a passphrase") as caught:
        EcdsaP256Signer(SecretBytes(material))
    assert caught.value.field == "private_key"
    for part in ("canary", RFC_6979_X[:12], "é", *pem(KEY).splitlines()[1:3]):
        assert part not in caught.value.message
