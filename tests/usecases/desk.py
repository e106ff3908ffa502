"""The use cases over fakes of the ports that reach outside."""

import json
import math
from collections.abc import Callable
from pathlib import Path

from fakes import Answer, FakeClock, FakeOutbound, FakeState, FakeStore, answer, sealed
from privyseald.caller import Caller
from privyseald.calls import Calls
from privyseald.holds.hold import Hold, Scope
from privyseald.holds.holds import Holds
from privyseald.holds.known_holds import KnownHolds
from privyseald.idempotency.idempotency import Idempotency
from privyseald.key import Algorithm
from privyseald.outbound.outbound import OutboundRequest
from privyseald.secretstore.cache import CachePolicy, KeyCache
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.escrow import Escrow
from privyseald.secretstore.escrowed_store import EscrowedStore
from privyseald.sessions.sessions import Sessions
from privyseald.signing.generate import generate
from privyseald.signing.secret import SecretBytes
from privyseald.usecases.create_key import CreateKey
from privyseald.usecases.create_key_saga import CreateKeySaga, Step
from privyseald.usecases.delivery import Receive
from privyseald.usecases.import_key import ImportKey
from privyseald.usecases.keys import Keys
from privyseald.usecases.open_key import OpenedKey, OpenKey, match_venue
from privyseald.usecases.reconcile import Reconcile
from privyseald.venues.registry import Venues
from rules import allow_all

LONGEST_MS = 60_000
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
    """One server's use cases. `nonce` and `aster` answer what Aster is asked for."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        self.steps: list[Step] = []
        self.on_step: Callable[[Step], None] = self.steps.append
        self.escrow_path = folder / "escrow"
        self.venues = Venues()
        self.outbound = FakeOutbound(self._answer)
        self.nonce: Callable[[], Answer] = lambda: success({"nonce": "012345"})
        self.aster: Callable[[], Answer] = lambda: success(ISSUED)
        self.restart()

    def restart(self) -> None:
        """Begin anew on the same store and escrow directory, with empty memories."""
        self.escrow = Escrow.open_path(self.escrow_path, self.clock)
        self.whole_store = EscrowedStore(self.store, self.escrow)
        self.cache = KeyCache[OpenedKey](
            self.whole_store,
            lambda credential: match_venue(credential, self.venues),
            self.clock,
            CachePolicy(),
        )
        self.open_key = OpenKey(self.cache, self.clock)
        self.shared = FakeState(self.clock)
        self.idempotency = Idempotency(sealed(self.shared), self.clock)
        self.sessions = Sessions(self.shared, sealed(self.shared), self.clock)
        policy = allow_all()
        self.holds = Holds(self.clock)
        self.holds.confirm(math.inf)
        self.saga = CreateKeySaga(
            self.whole_store,
            self.escrow,
            self.outbound,
            self.clock,
            Calls("venue", self.clock),
            longest_ms=LONGEST_MS,
            observe=self._did,
        )
        self.create_key = CreateKey(
            policy,
            self.holds,
            self.venues,
            self.whole_store,
            self.cache,
            self.open_key,
            self.idempotency,
            self.saga,
        )
        self.reconcile = Reconcile(self.whole_store, self.escrow, self.clock, longest_ms=LONGEST_MS)
        self.import_key = ImportKey(
            policy,
            self.venues,
            self.whole_store,
            self.cache,
            self.idempotency,
            Receive(self.whole_store),
        )
        self.keys = Keys(policy, self.whole_store, self.cache, self.sessions)

    @property
    def orders(self) -> list[dict[str, object]]:
        """The orders of keys that reached Aster."""
        return [
            json.loads(request.body)
            for request in self.outbound.sent
            if request.url.endswith("/broker-create-api-key")
        ]

    def stop(self, scope: Scope, at: str = "") -> None:
        """Put a hold in force; now, or when the shared state is next asked for such a thing."""
        known = KnownHolds().with_hold(Hold("a", scope, "why", "operator", 0))

        async def before(method: str, _name: str) -> None:
            if method == at:
                self.holds.take(known)

        if at:
            self.shared.before = before
        else:
            self.holds.take(known)

    def escrow_files(self) -> list[str]:
        """Return the names of what lies in the escrow directory."""
        return sorted(path.name for path in self.escrow_path.iterdir())

    def _did(self, step: Step) -> None:
        self.on_step(step)

    def _answer(self, request: OutboundRequest) -> Answer:
        if request.url.endswith("/get-nonce"):
            return self.nonce()
        return self.aster()
