"""A key cache under test: over a store with one key, and with a hand on both."""

import asyncio

from fakes import FakeClock, FakeStore
from privyseald.errors import PrivysealError
from privyseald.key import KeyState
from privyseald.secretstore.cache import CachePolicy, KeyCache
from privyseald.signing.signer import Credential

SOFT_MS, HARD_MS = 60_000, 900_000


class Desk:
    """`failure` is what the store answers from now on, `go` holds its answers back."""

    def __init__(self, policy: CachePolicy | None = None) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        self.failure: BaseException | None = None
        self.doubt: PrivysealError | None = None
        self.go = asyncio.Event()
        self.go.set()
        self.store.before = self._before
        self.cache = KeyCache(
            self.store, self._prepare, self.clock, policy or CachePolicy(SOFT_MS, HARD_MS)
        )

    @property
    def reads(self) -> int:
        """How often the store was asked to open a key."""
        return self._calls("open")

    @property
    def looks(self) -> int:
        """How often the store was asked whether a key has changed."""
        return self._calls("revision")

    async def state(self, key_id: str = "desk-1") -> KeyState:
        """Open the key through the cache, and return the state that came with it."""
        return (await self.cache.open(key_id)).key.state

    async def quiet(self) -> None:
        """Let what goes on in the background come to its end."""
        for _ in range(20):
            await asyncio.sleep(0)

    def _calls(self, name: str) -> int:
        return sum(method == name for method, _ in self.store.calls)

    async def _before(self, method: str, _key_id: str) -> None:
        if method in ("open", "revision"):
            await self.go.wait()
            if self.failure is not None:
                raise self.failure

    def _prepare(self, credential: Credential) -> Credential:
        if self.doubt is not None:
            raise self.doubt
        return credential
