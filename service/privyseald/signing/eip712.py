"""EIP-712 typed data: the digest of any document, and a fast one for a single string."""

import sys
from functools import lru_cache
from typing import Any

from eth_abi.exceptions import EncodingError
from eth_account.messages import encode_typed_data
from eth_utils.exceptions import ValidationError

from privyseald.errors import BodyInvalid
from privyseald.signing import typed_data
from privyseald.signing.secp256k1 import keccak256
from privyseald.strict_json import JsonValue, is_number

_DOMAIN_TYPE = keccak256(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)

# py_ecc, which eth-account imports, raises Python's recursion limit to 100,000. That is more than
# the stack holds: deep recursion would end the process where it should raise RecursionError.
sys.setrecursionlimit(1_000)

# What eth-account and eth-abi raise for documents that break EIP-712's rules.
_NOT_TYPED_DATA = (
    ArithmeticError,
    AttributeError,
    EncodingError,
    LookupError,
    RecursionError,
    TypeError,
    ValidationError,
    ValueError,
)


def digest(document: dict[str, JsonValue]) -> bytes:
    """Return the 32 bytes that a wallet signs for a whole EIP-712 document.

    Raises BodyInvalid naming `typed_data.json`.
    """
    for part in ("types", "primaryType", "domain", "message"):
        if part not in document:
            raise BodyInvalid("typed_data.json", f"lacks '{part}'; give a whole EIP-712 document")
    try:
        typed_data.check(document)
        signable = encode_typed_data(full_message=_with_integers(document))
    except _NOT_TYPED_DATA as error:
        raise BodyInvalid(
            "typed_data.json",
            "is no valid EIP-712 document: check that 'message' and 'domain' hold each field "
            "of their type once, with a value of its type, and nothing else",
        ) from error
    return keccak256(b"\x19" + signable.version + signable.header + signable.body)


def _with_integers(value: JsonValue) -> Any:
    """Return the value with its numbers as int; EIP-712 has no fractions. Raises ValueError."""
    if isinstance(value, dict):
        return {name: _with_integers(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_with_integers(child) for child in value]
    return int(value) if isinstance(value, str) and is_number(value) else value


class StringMessage:
    """The typed data `{primary type}(string {field})` in one domain, hashed fast.

    What depends on the domain alone is computed once; a digest costs three Keccaks.
    `verifyingContract` is the zero address.
    """

    __slots__ = ("_prefix", "_type")

    def __init__(
        self, primary_type: str, field: str, *, name: str, version: str, chain_id: int
    ) -> None:
        separator = keccak256(
            _DOMAIN_TYPE
            + keccak256(name.encode())
            + keccak256(version.encode())
            + chain_id.to_bytes(32, "big")
            + bytes(32)
        )
        self._prefix = b"\x19\x01" + separator
        self._type = keccak256(f"{primary_type}(string {field})".encode())

    def digest(self, text: bytes) -> bytes:
        """Return the 32 bytes to sign for the value `text` of the field."""
        return keccak256(self._prefix + keccak256(self._type + keccak256(text)))


@lru_cache(maxsize=16)
def string_message(
    primary_type: str, field: str, name: str, version: str, chain_id: int
) -> StringMessage:
    """Return the hasher of one domain, kept."""
    return StringMessage(primary_type, field, name=name, version=version, chain_id=chain_id)
