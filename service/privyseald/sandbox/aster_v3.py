"""Aster V3: EIP-712 over the parameters as sent (asterdex/api-docs V3, since 2026-01-22).

Typed data `Message{string msg}` in the domain AsterSignTransaction, version 1, chain 1666 or
714, verifying contract zero. The nonce rule (60 s, the latest 100 nonces of each signer) is
that of asterdex/api-docs PR #157. Inferred: -1022 for a wrong signer or chain, -2015 for a
signer whom nobody approved, the text for a repeated nonce, and that the nonce is looked at
last, so that only the signer can use one up.
"""

import re
from bisect import insort
from collections import defaultdict

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from privyseald.sandbox.accounts import Accounts, AsterAccount
from privyseald.sandbox.aster_form import (
    AHEAD,
    BAD_SIGNATURE,
    KEY_REJECTED,
    NONCE_EXPIRED,
    NONCE_REPEATED,
    Form,
    illegal,
    read_form,
    refusal,
)
from privyseald.sandbox.aster_market import is_public, result
from privyseald.sandbox.knobs import AsterKnobs
from privyseald.sandbox.message import Answer, Incoming

_SIGNATURE = re.compile(r"0x[0-9a-f]{128}1[bc]", re.IGNORECASE)
_NONCE = re.compile(r"[0-9]{1,20}")
_ZERO_ADDRESS = "0x" + "0" * 40


class AsterV3:
    """The API of agents, with the nonces that each signer used."""

    def __init__(self, accounts: Accounts, knobs: AsterKnobs) -> None:
        self._accounts = accounts
        self._knobs = knobs
        self._nonces: defaultdict[str, list[int]] = defaultdict(list)

    def answer(self, request: Incoming, endpoint: str, now_us: int) -> Answer:
        """Return the answer of an endpoint, named without its version. Raises Refused."""
        form = read_form(request)
        account = nonce = ""
        if not is_public(endpoint):
            account = self._verify(form).address
            nonce = form.values["nonce"]
            self._spend_nonce(form.values["signer"].lower(), int(nonce), now_us)
        body = result(endpoint, request.method, form.values, now_us)
        return Answer(200, body, account=account, nonce=nonce, parameters=form.values)

    def _verify(self, form: Form) -> AsterAccount:
        form.need("nonce", "signer", "signature")
        if self._knobs.user_required:
            form.need("user")
        if not _NONCE.fullmatch(form.values["nonce"]):
            raise illegal("nonce", f"^{_NONCE.pattern}$")
        signer = form.values["signer"]
        message = _typed_data(form.signed, self._knobs.chain_id)
        if recover(message, form.signature) != signer.lower():
            raise refusal(BAD_SIGNATURE)
        account = self._accounts.aster_account_of_agent(signer)
        user = form.values.get("user", "")
        if account is None or user.lower() not in ("", account.address.lower()):
            raise refusal(KEY_REJECTED)
        return account

    def _spend_nonce(self, signer: str, nonce: int, now_us: int) -> None:
        window_us = self._knobs.nonce_window_ms * 1_000
        ahead_us = self._knobs.ahead_ms * 1_000 or window_us
        used = self._nonces[signer]
        if nonce - now_us > ahead_us:
            raise refusal(AHEAD)
        if nonce in used:
            raise refusal(NONCE_REPEATED)
        full = len(used) >= self._knobs.nonces_kept
        if now_us - nonce > window_us or (full and nonce < used[0]):
            raise refusal(NONCE_EXPIRED)
        insort(used, nonce)
        del used[: -self._knobs.nonces_kept]


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


def _typed_data(text: str, chain_id: int) -> SignableMessage:
    return encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "Message": [{"name": "msg", "type": "string"}],
            },
            "primaryType": "Message",
            "domain": {
                "name": "AsterSignTransaction",
                "version": "1",
                "chainId": chain_id,
                "verifyingContract": _ZERO_ADDRESS,
            },
            "message": {"msg": text},
        }
    )
