"""Aster: one server for the trading APIs V1 and V3, agents, and the web login."""

import re

from privyseald.sandbox.accounts import Accounts
from privyseald.sandbox.aster_agents import AsterAgents
from privyseald.sandbox.aster_form import NOT_FOUND, refusal
from privyseald.sandbox.aster_login import AsterLogin
from privyseald.sandbox.aster_nonces import AsterNonces
from privyseald.sandbox.aster_v1 import AsterV1
from privyseald.sandbox.aster_v3 import AsterV3
from privyseald.sandbox.knobs import AsterKnobs
from privyseald.sandbox.message import Answer, Incoming

_PATH = re.compile(r"/(?:fapi|api|papi)/v([1-4])/([A-Za-z][A-Za-z0-9/]*)")


class Aster:
    """The venue. V1's documents put a few of its endpoints under /v2 and /v4."""

    def __init__(self, accounts: Accounts, knobs: AsterKnobs) -> None:
        self._login = AsterLogin(accounts, knobs)
        nonces = AsterNonces(knobs)
        self._v1 = AsterV1(accounts)
        self._v3 = AsterV3(accounts, knobs, nonces)
        self._agents = AsterAgents(accounts, knobs, nonces)

    def answer(self, request: Incoming, now_us: int) -> Answer:
        """Return the venue's answer. Raises Refused."""
        if request.path.startswith("/bapi/"):
            return self._login.answer(request, now_us)
        found = _PATH.fullmatch(request.path)
        if found is None:
            raise refusal(NOT_FOUND)
        version, endpoint = found.groups()
        if version == "3" and self._agents.takes(request.method, endpoint):
            return self._agents.answer(request, endpoint, now_us)
        if version == "3":
            return self._v3.answer(request, endpoint, now_us)
        return self._v1.answer(request, endpoint, now_us)
