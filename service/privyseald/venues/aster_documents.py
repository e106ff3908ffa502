"""Which EIP-712 documents and messages of a wallet are Aster's own.

Aster rebuilds the document from what it is sent and recovers the signer, so only the exact one
counts there. Here names are compared without case, blanks and look-alikes: what comes near is
taken for it. Sources: asterdex/api-docs V3(Recommended)/EN "Authentication signature payload"
and "Register and Approve Agent"; demo/aster-code.py (0401110); demo/aster-deposit-withdrawal.md
(98a180b), "EVM Withdraw Signature".
"""

import unicodedata
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from privyseald.errors import IntentUnsupported
from privyseald.strict_json import JsonValue
from privyseald.venues.aster_operations import DOCUMENTS, REGISTER_AGENT, WITHDRAW
from privyseald.venues.venue import Operation

# The domains of requests and account management, and of withdrawals.
_REQUESTS, _ACTIONS = "astersigntransaction", "aster"
# Where `Message` is a request. Elsewhere it registers an agent, on the chain it names.
_REQUEST_CHAINS = frozenset({1666, 714})
# Of both wordings that Aster had for the sentence of a login or a new key.
_SENTENCE = "you are signing into"
_DIGEST = 32

# What is in Aster's domain, but in no document of it, may be anything.
UNKNOWN_DOCUMENT = Operation("unknown document", "", "", ("key-management",))


def read_typed_data(document: Mapping[str, JsonValue]) -> Operation | None:
    """Return what a document does at Aster. Raises IntentUnsupported for a request's own form."""
    domain = document.get("domain")
    if not isinstance(domain, Mapping):
        return None
    name = _plain(domain.get("name"))
    if name == _ACTIONS:
        return WITHDRAW
    if name != _REQUESTS:
        return None
    primary_type = _plain(document.get("primaryType"))
    if primary_type != "message":
        return DOCUMENTS.get(primary_type, UNKNOWN_DOCUMENT)
    chain_id = _chain_id(domain.get("chainId"))
    if chain_id is None or chain_id in _REQUEST_CHAINS:
        raise IntentUnsupported(
            "typed_data.json",
            "is the form in which Aster's requests are signed; give the request as http_request, "
            "so that the rules for it hold",
        )
    return REGISTER_AGENT


def check_message(message: bytes) -> None:
    """Raise IntentUnsupported for the sentence of a login, and for a digest.

    Until 2026-01-22 V3's requests were digests, signed as messages.
    """
    if _plain(message.decode("utf-8", "replace")).startswith(_SENTENCE):
        raise IntentUnsupported(
            "personal_message.message",
            "is the sentence that logs a wallet in at Aster or has a key issued; call Login, or "
            "CreateKey",
        )
    if len(message) == _DIGEST:
        raise IntentUnsupported(
            "personal_message.message",
            "has 32 bytes, as the digest of an Aster request in its old form has; what it says "
            "can't be seen, so that it is not signed",
        )


def _plain(text: JsonValue) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold() if isinstance(text, str) else ""


def _chain_id(value: JsonValue) -> int | None:
    """Return a chain's number, in whichever way it is written; None where it is none."""
    text = _plain(value)
    try:
        if text.startswith("0x"):
            return int(text, 16)
        number = Decimal(text)
    except (ValueError, InvalidOperation):
        return None
    # A text is at most a document long, but its exponent may be anything.
    if not number.is_finite() or number.adjusted() > 80 or number != number.to_integral_value():
        return None
    return int(number)
