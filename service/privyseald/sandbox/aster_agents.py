"""Aster V3's agents (API wallets): approved, changed and deleted by the main wallet.

Source: asterdex/api-docs demo/aster-code.py. The main wallet signs typed data whose primary
type is the action's name and whose fields are the parameters in the order sent, each with a
capital first letter; the chain of the domain is `signatureChainId`, 56. Inferred: the codes
of refusals; that nonces follow the rule for signers; that `asterChain` must fit the chain.
"""

from privyseald.sandbox.accounts import Accounts
from privyseald.sandbox.aster_form import (
    BAD_SIGNATURE,
    KEY_REJECTED,
    Form,
    illegal,
    read_unordered_form,
    refusal,
)
from privyseald.sandbox.aster_nonces import AsterNonces
from privyseald.sandbox.aster_typed_data import recover, typed_data
from privyseald.sandbox.knobs import AsterKnobs
from privyseald.sandbox.message import Answer, Incoming

_PRIMARY_TYPES = {
    ("POST", "approveAgent"): "ApproveAgent",
    ("POST", "updateAgent"): "UpdateAgent",
    ("DELETE", "agent"): "DelAgent",
}
_INTEGERS = frozenset({"expired", "nonce"})
_OUTSIDE = frozenset({"signature", "signatureChainId"})


class AsterAgents:
    """The list of agents of each account."""

    def __init__(self, accounts: Accounts, knobs: AsterKnobs, nonces: AsterNonces) -> None:
        self._accounts = accounts
        self._knobs = knobs
        self._nonces = nonces

    def takes(self, method: str, endpoint: str) -> bool:
        """Whether the request is for here: its signature is another than that of V3."""
        return (method, endpoint) in _PRIMARY_TYPES

    def answer(self, request: Incoming, endpoint: str, now_us: int) -> Answer:
        """Return the answer of an endpoint that this takes. Raises Refused."""
        form = read_unordered_form(request)
        form.need("agentAddress", "user", "nonce", "asterChain", "signature", "signatureChainId")
        if form.values["signatureChainId"] != "56":
            raise illegal("signatureChainId", "56")
        chain = "Mainnet" if self._knobs.chain_id == 1666 else "Testnet"
        if form.values["asterChain"] != chain:
            raise illegal("asterChain", chain)
        user = form.values["user"]
        self._verify(form, _PRIMARY_TYPES[request.method, endpoint])
        account = self._accounts.aster.get(user.lower())
        if account is None:
            raise refusal(KEY_REJECTED)
        self._nonces.spend(user, form.values["nonce"], now_us)
        agent = form.values["agentAddress"]
        others = tuple(one for one in account.agents if one.lower() != agent.lower())
        account.agents = others if request.method == "DELETE" else (*others, agent)
        return Answer(
            200,
            {"code": 200, "msg": "success"},
            account=account.address,
            nonce=form.values["nonce"],
            parameters=form.values,
        )

    def _verify(self, form: Form, primary_type: str) -> None:
        fields: list[tuple[str, str]] = []
        message: dict[str, str | int | bool] = {}
        for name, text in form.values.items():
            if name in _OUTSIDE:
                continue
            field = name[:1].upper() + name[1:]
            if name in _INTEGERS and text.isascii() and text.isdigit() and len(text) <= 20:
                fields.append((field, "uint256"))
                message[field] = int(text)
            elif text.lower() in ("true", "false"):
                fields.append((field, "bool"))
                message[field] = text.lower() == "true"
            else:
                fields.append((field, "string"))
                message[field] = text
        signed = typed_data(56, primary_type, fields, message)
        if recover(signed, form.values["signature"]) != form.values["user"].lower():
            raise refusal(BAD_SIGNATURE)
