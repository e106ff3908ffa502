"""The telemetry of one server: its metrics as text, and the port that tells them."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

from privyseald.telemetry.catalogue import OF_A_SERVER
from privyseald.telemetry.exposition import Exposition
from privyseald.telemetry.http_door import HttpDoor
from privyseald.telemetry.ops_paths import is_off, ops_paths
from privyseald.telemetry.samples import samples_of
from privyseald.telemetry.sources import Sources


class Telemetry:
    """Reads everything when it is asked. A worker leaves the port to its supervisor."""

    def __init__(self, sources: Sources, *, worker: int = 0) -> None:
        self._sources = sources
        self._worker = worker
        self._exposition = Exposition(OF_A_SERVER, lambda: samples_of(sources), worker or None)
        self.port = 0

    async def open(self, listen: str, opened: AsyncExitStack) -> None:
        """Begin to look at the event loop, and to answer at an address unless that is off, until
        the stack is closed. Raises ConfigInvalid.
        """
        watched = self._sources.watched
        opened.callback(watched.keeper.keep("loop-lag", watched.lag.run).cancel)
        if self._worker or is_off(listen):
            return
        server = self._sources.rpcs.server
        paths = ops_paths(self._scrape, lambda: server.is_ready, self._checks, self._sources.clock)
        door = await HttpDoor.open("server.http_ops_listen", listen, paths)
        opened.push_async_callback(door.close)
        self.port = door.port

    def text(self) -> bytes:
        """Return the metrics in the text format of Prometheus."""
        return self._exposition.text()

    async def _scrape(self) -> bytes:
        return self.text()

    def _checks(self) -> Mapping[str, object]:
        return self._sources.backends.readiness.checks
