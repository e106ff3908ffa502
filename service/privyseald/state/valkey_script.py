"""A Lua script, which the server runs as one atomic step."""

from hashlib import sha1

from privyseald.state.valkey_connection import Connection, Reply, Word
from privyseald.state.valkey_failure import Refused


class Script:
    """Known to the server by its digest, and sent in full where that is not known yet."""

    def __init__(self, *texts: str) -> None:
        self._text = "\n".join(texts).encode()
        self._digest = sha1(self._text, usedforsecurity=False).hexdigest().encode()

    async def run(self, connection: Connection, keys: tuple[Word, ...], *arguments: Word) -> Reply:
        """Run it. Raises Refused, Broken."""
        try:
            return await connection.call(b"EVALSHA", self._digest, len(keys), *keys, *arguments)
        except Refused as refused:
            if refused.code != "NOSCRIPT":
                raise
        return await connection.call(b"EVAL", self._text, len(keys), *keys, *arguments)
