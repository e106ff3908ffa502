"""secp256k1 signatures and addresses against eth-account, thin numbers included."""

import random

import pytest
from eth_account import Account
from eth_account.datastructures import SignedMessage
from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from privyseald.errors import FieldInvalid
from privyseald.key import Algorithm
from privyseald.signing.secp256k1 import Secp256k1Signer, checksum_address, keccak256
from privyseald.signing.secret import SecretBytes

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ANVIL = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
SCALARS = st.integers(1, ORDER - 1) | st.integers(1, 2**64) | st.integers(ORDER - 2**64, ORDER - 1)


def theirs(number: int, digest: bytes) -> SignedMessage:
    """eth-account's own signature of a digest."""
    signed: SignedMessage = Account.unsafe_sign_hash(digest, number.to_bytes(32, "big"))
    return signed


def signer_of(number: int) -> Secp256k1Signer:
    """The signer of a private key given as a number."""
    return Secp256k1Signer(SecretBytes(f"{number:064x}"))


@settings(max_examples=300, deadline=None)
@given(number=SCALARS, digest=st.binary(min_size=32, max_size=32))
async def test_a_signature_is_eth_accounts(number: int, digest: bytes) -> None:
    """r, s and v are eth-account's for any key and digest, and s is in the lower half."""
    signature = await signer_of(number).sign(digest)
    assert theirs(number, digest).signature == signature
    assert len(signature) == 65
    assert int.from_bytes(signature[32:64], "big") <= ORDER // 2
    assert signature[64] in {27, 28}


@settings(max_examples=100, deadline=None)
@given(number=SCALARS)
def test_an_address_is_eth_accounts(number: int) -> None:
    """The address has EIP-55's checksum, also where the key begins with zero bytes."""
    assert Account.from_key(number.to_bytes(32, "big")).address == signer_of(number).public_id


@pytest.mark.parametrize("part", [slice(0, 32), slice(32, 64)], ids=["r", "s"])
async def test_a_thin_half_keeps_its_leading_zero_bytes(part: slice) -> None:
    """An r or s that begins with a zero byte is still 32 bytes wide."""
    draw = random.Random(1)  # noqa: S311  # test data, not a secret
    signer, number, found = signer_of(int(ANVIL, 16)), int(ANVIL, 16), 0
    while found < 3:
        digest = draw.randbytes(32)
        signature = await signer.sign(digest)
        if signature[part][0]:
            continue
        found += 1
        assert theirs(number, digest).signature == signature
        assert len(signature) == 65


def test_addresses_of_eip_55_have_their_checksum() -> None:
    """The examples of EIP-55 come out in its mix of cases."""
    for address in (
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ):
        assert address == checksum_address(bytes.fromhex(address[2:]))


@given(address=st.binary(min_size=20, max_size=20))
def test_any_address_has_eth_utils_checksum(address: bytes) -> None:
    """The checksum is that of eth-utils for any 20 bytes."""
    assert to_checksum_address(address) == checksum_address(address)


def test_the_hash_is_keccak_and_not_sha3() -> None:
    """Keccak-256 of nothing is Ethereum's well-known value, which SHA3-256's padding changes."""
    expected = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert expected == keccak256(b"").hex()


@pytest.mark.parametrize("material", [ANVIL, ANVIL.upper(), "0x" + ANVIL, "0x" + ANVIL.upper()])
def test_hex_is_taken_in_either_case_with_or_without_0x(material: str) -> None:
    """The four spellings of a key are one wallet."""
    signer = Secp256k1Signer(SecretBytes(material))
    assert signer.public_id == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert Algorithm.SECP256K1 is signer.algorithm
    assert signer.public_key_pem.startswith("-----BEGIN PUBLIC KEY-----\n")


@pytest.mark.parametrize(
    "material",
    [
        "",
        "canary",
        "0" * 64,
        f"{ORDER:064x}",
        f"{ORDER + 1:064x}",
        "f" * 64,
        ANVIL[:-1],
        ANVIL + "0",
        "0X" + ANVIL,
        ANVIL + "\n",
        " " + ANVIL,
        "\u0660" * 64,
    ],
    ids=[
        "empty",
        "a word",
        "zero",
        "the order",
        "above the order",
        "far above",
        "short",
        "long",
        "0X",
        "newline",
        "blank",
        "other digits",
    ],
)
def test_what_is_no_key_is_refused_by_field(material: str) -> None:
    """The error names `private_key` and shows nothing of the value."""
    with pytest.raises(FieldInvalid) as caught:
        Secp256k1Signer(SecretBytes(material))
    assert caught.value.field == "private_key"
    for part in ("canary", ANVIL[:12], "ffff", "\u0660"):
        assert part not in caught.value.message
