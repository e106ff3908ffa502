"""Values that only this service's servers can read: sealed with a key from the secret store.

AES-256-GCM, under a key of the name's own: no content can be moved to another name, and however
many values are sealed in all the years of a deployment, few are under one key, which is what
random nonces ask for.
"""

import asyncio
import hmac
import os
from collections.abc import Awaitable, Callable

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privyseald.signing.secret import SecretBytes
from privyseald.state.state import State, Value

_NONCE_BYTES = 12
_log = structlog.get_logger("privyseald.state")


class SealedValues:
    """`get`, `put` and `delete` of a State, sealed. `get_key` returns 32 bytes, always the same.

    A value that can't be opened comes back empty: it was written under another key, or tampered
    with.
    """

    def __init__(self, state: State, get_key: Callable[[], Awaitable[SecretBytes]]) -> None:
        self._state = state
        self._get_key = get_key
        self._key: SecretBytes | None = None
        self._reading: asyncio.Task[SecretBytes] | None = None

    async def open(self) -> None:
        """Read the key, so that it is there when it is needed. Raises what `get_key` raises."""
        await self._opened()

    async def get(self, name: str) -> Value | None:
        """Return what stands there. Raises as `State.get`, and what `get_key` raises."""
        key = self._key or await self._opened()
        found = await self._state.get(name)
        if found is None:
            return None
        nonce, sealed = found.data[:_NONCE_BYTES], found.data[_NONCE_BYTES:]
        try:
            return Value(_cipher(key, name).decrypt(nonce, sealed, None), found.version)
        except (InvalidTag, ValueError):
            _log.error("a value of the shared state can't be opened", name=name)
            return Value(b"", found.version)

    async def put(
        self, name: str, data: bytes, *, version: int | None = None, ttl_ms: int | None = None
    ) -> int | None:
        """Write as `State.put` does, sealed."""
        key = self._key or await self._opened()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + _cipher(key, name).encrypt(nonce, data, None)
        return await self._state.put(name, sealed, version=version, ttl_ms=ttl_ms)

    async def delete(self, name: str, *, version: int | None = None) -> bool:
        """Remove as `State.delete` does."""
        return await self._state.delete(name, version=version)

    async def _opened(self) -> SecretBytes:
        """Return the key, read once for all who wait."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._get_key())
            self._reading.add_done_callback(self._keep)
        return await asyncio.shield(self._reading)

    def _keep(self, done: "asyncio.Task[SecretBytes]") -> None:
        self._reading = None
        # Asking for the exception marks it as seen when every caller went away.
        if not done.cancelled() and done.exception() is None:
            self._key = done.result()


def _cipher(key: SecretBytes, name: str) -> AESGCM:
    return AESGCM(hmac.digest(key.reveal(), name.encode(), "sha256"))
