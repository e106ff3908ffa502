"""Aster V3: EIP-712 over the parameters as sent (asterdex/api-docs V3, since 2026-01-22).

Typed data `Message{string msg}` in the domain AsterSignTransaction, version 1, chain 1666 or
714, verifying contract zero. Inferred: -1022 for a wrong signer or chain, -2015 for a signer
whom nobody approved, and that the nonce is looked at last, so that only the signer can use
one up.
"""

from urllib.parse import unquote_plus

from privyseald.sandbox.accounts import Accounts, AsterAccount
from privyseald.sandbox.aster_form import BAD_SIGNATURE, KEY_REJECTED, Form, read_form, refusal
from privyseald.sandbox.aster_market import is_public, result
from privyseald.sandbox.aster_nonces import AsterNonces
from privyseald.sandbox.aster_typed_data import recover, typed_data
from privyseald.sandbox.knobs import AsterKnobs
from privyseald.sandbox.message import Answer, Incoming


class AsterV3:
    """The API of agents, and of wallets that sign for themselves."""

    def __init__(self, accounts: Accounts, knobs: AsterKnobs, nonces: AsterNonces) -> None:
        self._accounts = accounts
        self._knobs = knobs
        self._nonces = nonces

    def answer(self, request: Incoming, endpoint: str, now_us: int) -> Answer:
        """Return the answer of an endpoint, named without its version. Raises Refused."""
        form = read_form(request)
        account = nonce = ""
        if not is_public(endpoint):
            account = self._verify(form).address
            nonce = form.values["nonce"]
            self._nonces.spend(form.values["signer"], nonce, now_us)
        body = result(endpoint, request.method, form.values, now_us)
        return Answer(200, body, account=account, nonce=nonce, parameters=form.values)

    def _verify(self, form: Form) -> AsterAccount:
        form.need("nonce", "signer", "signature")
        if self._knobs.user_required:
            form.need("user")
        signer = form.values["signer"]
        texts = [form.signed]
        if self._knobs.decoded_message:
            texts.append(unquote_plus(form.signed))
        if signer.lower() not in (self._recover(text, form.signature) for text in texts):
            raise refusal(BAD_SIGNATURE)
        account = self._accounts.aster_account_of_agent(signer)
        user = form.values.get("user", "")
        if account is None or user.lower() not in ("", account.address.lower()):
            raise refusal(KEY_REJECTED)
        return account

    def _recover(self, text: str, signature: str) -> str:
        fields = (("msg", "string"),)
        message = typed_data(self._knobs.chain_id, "Message", fields, {"msg": text})
        return recover(message, signature)
