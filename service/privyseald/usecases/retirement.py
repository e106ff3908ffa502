"""The end of credentials that were rotated: when their time is over, the store destroys them."""

import asyncio
from contextlib import suppress

import structlog

from privyseald.clock import Clock
from privyseald.errors import KeyUnknown, PrivysealError, SecretStoreForbidden, Unavailable
from privyseald.secretstore.store import SecretStore
from privyseald.signing.signer import Credential

# The wall clock may be set, so that no longer wait is to be trusted.
_LONGEST_S = 60.0
_RETRY_MS = 60_000
_log = structlog.get_logger("privyseald.retirement")


class Retirement:
    """Knows of each key that was opened or rotated here while it had two versions.

    A key that nobody uses is looked after when it is opened or rotated the next time.
    """

    def __init__(self, store: SecretStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._due: dict[str, int] = {}
        self._news = asyncio.Event()

    def hear(self, credential: Credential) -> Credential:
        """Note the version before of a key that is opened, and return the credential."""
        if credential.previous is not None:
            self.expect(credential.key.key_id, credential.previous.until_ms)
        return credential

    def expect(self, key_id: str, until_ms: int) -> None:
        """Note until when a key has a version before."""
        self._due[key_id] = until_ms
        self._news.set()

    async def run(self) -> None:
        """Retire what is due, until cancelled."""
        while True:
            self._news.clear()
            await self.sweep()
            wait_ms = min(self._due.values(), default=self._now_ms() + _RETRY_MS) - self._now_ms()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(wait_ms / 1_000, 0.0), _LONGEST_S)):
                    await self._news.wait()

    async def sweep(self) -> None:
        """Have the store destroy what is due; while it is away, again later."""
        now_ms = self._now_ms()
        for key_id in [each for each, until_ms in self._due.items() if until_ms <= now_ms]:
            del self._due[key_id]
            try:
                await self._store.retire(key_id)
            except KeyUnknown:
                continue
            except Unavailable:
                self._due.setdefault(key_id, now_ms + _RETRY_MS)
            except SecretStoreForbidden:
                # A server that only signs; a custodian's does it.
                _log.info("version left to another server to destroy", key=key_id)
            except PrivysealError as error:
                _log.warning("version not destroyed", key=key_id, advice=error.message)

    def _now_ms(self) -> int:
        return self._clock.time_us() // 1_000
