"""Ed25519 against RFC 8032, in every form that a private key may be given in."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from privyseald.errors import FieldInvalid
from privyseald.key import Algorithm
from privyseald.signing.ed25519 import Ed25519Signer
from privyseald.signing.secret import SecretBytes

# RFC 8032, section 7.1, TEST 1 to 3: seed, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]
SEED = bytes.fromhex(RFC_8032[0][0])


def pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> str:
    """PKCS#8, encrypted where a passphrase is given."""
    sealed = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed).decode()


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
async def test_the_signature_is_that_of_rfc_8032(
    seed: str, public: str, message: str, signature: str
) -> None:
    """The test vectors of RFC 8032 give the printed public keys and signatures."""
    signer = Ed25519Signer(SecretBytes(seed))
    assert base64.b64encode(bytes.fromhex(public)).decode() == signer.public_id
    assert signature == (await signer.sign(bytes.fromhex(message))).hex()


@pytest.mark.parametrize(
    "material",
    [
        SEED.hex(),
        SEED.hex().upper(),
        base64.b64encode(SEED).decode(),
        pem(Ed25519PrivateKey.from_private_bytes(SEED)),
        "\n" + pem(Ed25519PrivateKey.from_private_bytes(SEED)),
    ],
    ids=["hex", "upper-case hex", "base64", "pem", "pem after a newline"],
)
async def test_every_form_of_a_key_is_the_same_key(material: str) -> None:
    """Hex, base64 and PEM of one seed sign the same."""
    signature = await Ed25519Signer(SecretBytes(material)).sign(b"")
    assert RFC_8032[0][3] == signature.hex()


def test_the_public_key_is_told_as_pem() -> None:
    """The PEM is the SubjectPublicKeyInfo that cryptography writes."""
    key = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    expected = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    signer = Ed25519Signer(SecretBytes(SEED.hex()))
    assert expected == signer.public_key_pem
    assert Algorithm.ED25519 is signer.algorithm


@pytest.mark.parametrize(
    "material",
    [
        "",
        "canary",
        SEED.hex()[:-2],
        SEED.hex() + "00",
        "0x" + SEED.hex(),
        SEED.hex() + "\n",
        base64.b64encode(SEED[:31]).decode(),
        base64.b64encode(SEED).decode().replace("=", "*"),
        "é" * 32,
        pem(Ed25519PrivateKey.from_private_bytes(SEED)) + "é",
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n",
        pem(Ed25519PrivateKey.from_private_bytes(SEED), b"passphrase"),
        pem(ec.generate_private_key(ec.SECP256R1())),
    ],
    ids=[
        "empty",
        "a word",
        "short hex",
        "long hex",
        "0x",
        "newline",
        "short base64",
        "bad base64",
        "non-ascii",
        "non-ascii after the pem",
        "broken pem",
        "encrypted pem",
        "another curve's pem",
    ],
)
def test_what_is_no_key_is_refused_by_field(material: str) -> None:
    """The error names `private_key` and shows nothing of the value."""
    with pytest.raises(FieldInvalid) as caught:
        Ed25519Signer(SecretBytes(material))
    assert caught.value.field == "private_key"
    for part in ("canary", SEED.hex()[:12], "é"):
        assert part not in caught.value.message
