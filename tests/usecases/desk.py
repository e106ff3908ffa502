"""The use cases over fakes of the ports that reach outside."""

import json
from collections.abc import Callable

from fakes import Answer, FakeClock, FakeOutbound, FakeStore, answer
from privyseald.caller import Caller
from privyseald.idempotency import Idempotency
from privyseald.key import Algorithm
from privyseald.outbound.outbound import OutboundRequest
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy, Rule
from privyseald.secretstore.cache import CachePolicy, KeyCache
from privyseald.secretstore.document import KeyDocument
from privyseald.sessions import Sessions
from privyseald.signing.generate import generate
from privyseald.signing.secret import SecretBytes
from privyseald.usecases.create_key import CreateKey
from privyseald.usecases.import_key import ImportKey
from privyseald.usecases.keys import Keys
from privyseald.usecases.open_key import OpenedKey, OpenKey, match_venue
from privyseald.venues.registry import Venues

OPERATOR = Caller("operator", "test")
ISSUED = {"apiKey": "issued-key-1", "apiSecret": "issued-secret-1"}


def document(venue: str = "whitebit", environment: str = "production") -> KeyDocument:
    """Return the document of an HMAC key."""
    return KeyDocument(
        venue=venue,
        environment=environment,
        algorithm=Algorithm.HMAC_SHA512,
        fields={"api_key": "public-key-1"},
        material=SecretBytes("secret-1"),
    )


def wallet() -> KeyDocument:
    """Return the document of a wallet that can have Aster issue keys."""
    return KeyDocument(
        venue="aster",
        environment="production",
        algorithm=Algorithm.SECP256K1,
        fields={},
        material=generate(Algorithm.SECP256K1),
    )


def success(data: object) -> Answer:
    """Return what Aster says when all is well."""
    return answer({"success": True, "code": "000000", "data": data})


class Desk:
    """One server's use cases. `aster` answers an order of a key."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        self.venues = Venues()
        self.outbound = FakeOutbound(self._answer)
        self.aster: Callable[[], Answer] = lambda: success(ISSUED)
        self.cache = KeyCache[OpenedKey](
            self.store,
            lambda credential: match_venue(credential, self.venues),
            self.clock,
            CachePolicy(),
        )
        self.open_key = OpenKey(self.cache)
        self.idempotency = Idempotency(self.clock)
        self.sessions = Sessions(self.clock)
        policy = Policy([Rule("all", ("*",), ("*",), frozenset(Action))])
        self.create_key = CreateKey(
            policy,
            self.venues,
            self.store,
            self.cache,
            self.open_key,
            self.idempotency,
            self.outbound,
        )
        self.import_key = ImportKey(policy, self.venues, self.store, self.cache, self.idempotency)
        self.keys = Keys(policy, self.store, self.cache, self.sessions)

    @property
    def orders(self) -> list[dict[str, object]]:
        """The orders of keys that reached Aster."""
        return [
            json.loads(request.body)
            for request in self.outbound.sent
            if request.url.endswith("/broker-create-api-key")
        ]

    def _answer(self, request: OutboundRequest) -> Answer:
        if request.url.endswith("/get-nonce"):
            return success({"nonce": "012345"})
        return self.aster()
