"""EIP-712 as Aster V3 uses it, and who signed a message."""

import re
from collections.abc import Iterable, Mapping

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

_SIGNATURE = re.compile(r"0x[0-9a-f]{128}1[bc]", re.IGNORECASE)
_DOMAIN_TYPE = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)


def typed_data(
    chain_id: int,
    primary_type: str,
    fields: Iterable[tuple[str, str]],
    message: Mapping[str, str | int | bool],
) -> SignableMessage:
    """Return a message in the domain AsterSignTransaction of a chain."""
    return encode_typed_data(
        full_message={
            "types": {"EIP712Domain": _members(_DOMAIN_TYPE), primary_type: _members(fields)},
            "primaryType": primary_type,
            "domain": {
                "name": "AsterSignTransaction",
                "version": "1",
                "chainId": chain_id,
                "verifyingContract": "0x" + "0" * 40,
            },
            "message": dict(message),
        }
    )


def recover(message: SignableMessage, signature: str) -> str:
    """Return who signed, in lower case; empty when it is no signature of 65 bytes.

    The last byte is 27 or 28 and its hex may be in either case (ccxt writes 1B).
    """
    if not _SIGNATURE.fullmatch(signature):
        return ""
    try:
        address: str = Account.recover_message(message, signature=signature)
    except (BadSignature, ValidationError):
        return ""
    return address.lower()


def _members(fields: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in fields]
