"""Values that only this service's servers can read: sealed with a key from the secret store.

AES-256-GCM; the name is bound to the content, so that none can be moved to another name.
"""

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

    A value that can't be opened counts as none: it was written under another key, or tampered
    with.
    """

    def __init__(self, state: State, get_key: Callable[[], Awaitable[SecretBytes]]) -> None:
        self._state = state
        self._get_key = get_key
        self._cipher: AESGCM | None = None

    async def get(self, name: str) -> Value | None:
        """Return what stands there. Raises as `State.get`, and what `get_key` raises."""
        cipher = await self._opened()
        found = await self._state.get(name)
        if found is None:
            return None
        nonce, sealed = found.data[:_NONCE_BYTES], found.data[_NONCE_BYTES:]
        try:
            return Value(cipher.decrypt(nonce, sealed, name.encode()), found.version)
        except (InvalidTag, ValueError):
            _log.error("a value of the shared state can't be opened", name=name)
            return Value(b"", found.version)

    async def put(
        self, name: str, data: bytes, *, version: int | None = None, ttl_ms: int | None = None
    ) -> int | None:
        """Write as `State.put` does, sealed."""
        cipher = await self._opened()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + cipher.encrypt(nonce, data, name.encode())
        return await self._state.put(name, sealed, version=version, ttl_ms=ttl_ms)

    async def delete(self, name: str, *, version: int | None = None) -> bool:
        """Remove as `State.delete` does."""
        return await self._state.delete(name, version=version)

    async def _opened(self) -> AESGCM:
        if self._cipher is None:
            material = await self._get_key()
            self._cipher = AESGCM(material.reveal())
            material.wipe()
        return self._cipher
