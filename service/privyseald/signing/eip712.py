"""EIP-712 typed data: the digest of any document, by eth-account.

Importing this takes a third of a second and 15 MB; who needs it seldom loads it then.
"""

import sys
from typing import Any

from eth_abi.exceptions import EncodingError
from eth_account.messages import encode_typed_data
from eth_utils.exceptions import ValidationError

from privyseald.errors import BodyInvalid
from privyseald.signing import typed_data
from privyseald.signing.secp256k1 import keccak256
from privyseald.strict_json import JsonValue, is_number

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
