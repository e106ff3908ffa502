"""The digest of an EIP-712 document, by a module that is loaded when the first one comes."""

import asyncio
import importlib
from types import ModuleType

from privyseald.strict_json import JsonValue

_MODULE = "privyseald.signing.eip712"


class DocumentDigest:
    """Calls `eip712.digest`. Most servers never need it, and it is slow to load: not at start,
    and not on the event loop.
    """

    def __init__(self) -> None:
        self._eip712: ModuleType | None = None

    async def __call__(self, document: dict[str, JsonValue]) -> bytes:
        """Return the 32 bytes that a wallet signs. Raises BodyInvalid naming `typed_data.json`."""
        if self._eip712 is None:
            self._eip712 = await asyncio.to_thread(importlib.import_module, _MODULE)
        digest: bytes = self._eip712.digest(document)
        return digest
