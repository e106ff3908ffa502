"""How far the log had come, kept in the state too: a second place, which a cut does not reach."""

import asyncio
from collections.abc import Callable

import orjson
import structlog

from privyseald.audit.chain import Fact, Head
from privyseald.errors import PrivysealError
from privyseald.state.sealed_values import SealedValues

_PAUSE_S = 5.0
_log = structlog.get_logger("privyseald.audit")


class Witness:
    """Remembers the last checkpoint of one log, and says what a start finds missing.

    The state may be away: a log that can't be compared now is compared later, and nothing is
    noted before.
    """

    def __init__(self, values: SealedValues, name: str) -> None:
        """Take a name that this log had before, and no other log has."""
        self._values = values
        self._name = f"audit/{name}"
        self._latest: Head | None = None
        self._changed = asyncio.Event()
        self._is_compared = False

    def note(self, head: Head) -> None:
        """Have this remembered, as soon as that can be."""
        self._latest = head
        self._changed.set()

    async def run(self, found: Head, tell: Callable[[dict[str, Fact]], None]) -> None:
        """Compare what a start found, tell what is missing, and then remember what is noted."""
        while not await self._compare(found, tell):  # noqa: ASYNC110  # the state has no event
            await asyncio.sleep(_PAUSE_S)
        self._is_compared = True
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self._write():
                await asyncio.sleep(_PAUSE_S)
                self._changed.set()

    async def end(self) -> None:
        """Remember what was noted last, unless the log was never compared."""
        if self._is_compared:
            await self._write()

    async def _write(self) -> bool:
        if self._latest is None:
            return True
        head = self._latest
        record = {"chain": head.chain, "sequence": head.sequence, "sha256": head.sha256}
        try:
            await self._values.put(self._name, orjson.dumps(record))
        except PrivysealError as error:
            _log.warning("audit checkpoint not noted in the state", reason=error.reason)
            return False
        return True

    async def _compare(self, found: Head, tell: Callable[[dict[str, Fact]], None]) -> bool:
        try:
            value = await self._values.get(self._name)
        except PrivysealError:
            return False
        known = _head_of(value.data) if value is not None else None
        if known is None or _goes_on_from(found, known):
            return True
        _log.error(
            "audit log is not the one that was noted",
            chain=known.chain,
            sequence=known.sequence,
            advice="lines were cut off, or the file is gone; look for it",
        )
        tell(
            {
                "event": "cut",
                "noted_chain": known.chain,
                "noted_sequence": known.sequence,
                "noted_sha256": known.sha256,
            }
        )
        return True


def _goes_on_from(found: Head, known: Head) -> bool:
    if found.chain != known.chain or found.sequence < known.sequence:
        return False
    return found.sequence > known.sequence or found.sha256 == known.sha256


def _head_of(data: bytes) -> Head | None:
    """Return what was noted; None where that can't be read, as after a change of keys."""
    try:
        record = orjson.loads(data)
        return Head(record["chain"], record["sequence"], record["sha256"])
    except (ValueError, KeyError, TypeError):
        return None
