"""The sandbox: every venue, and a control server, each on a port of this machine."""

import ipaddress
from types import TracebackType
from typing import Self

from aiohttp import web

from privyseald.clock import Clock, SystemClock
from privyseald.sandbox.accounts import Accounts, default_accounts
from privyseald.sandbox.aster import Aster
from privyseald.sandbox.control import Control
from privyseald.sandbox.faults import Faults
from privyseald.sandbox.kiiex import Kiiex
from privyseald.sandbox.knobs import Knobs
from privyseald.sandbox.ledger import Ledger, Seen
from privyseald.sandbox.message import VenueServer
from privyseald.sandbox.nebulaex import Nebulaex
from privyseald.sandbox.shifted_clock import ShiftedClock
from privyseald.sandbox.site import Site
from privyseald.sandbox.whitebit import Whitebit


class Sandbox:
    """The venues as servers. Use `async with`, or `start` and `close`.

    `host` is an IP address. With `port` 0 each server takes a free port; else the control
    server takes `port` and the venues the next four: NebulaEX, KIIEX, WhiteBIT, Aster. `urls`
    maps a venue to its base URL; at `control_url` faults, accounts, knobs and the clock are
    set from outside.

    The accounts' credentials are public, and anybody who reaches the control server may
    change them, so an address other than loopback is refused unless `allow_remote` is set.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        accounts: Accounts | None = None,
        knobs: Knobs | None = None,
        allow_remote: bool = False,
    ) -> None:
        if not allow_remote and not ipaddress.ip_address(host).is_loopback:
            raise ValueError(
                f"{host} is not loopback; --allow-remote (allow_remote=True) would permit it"
            )
        if not 0 <= port <= 65_531:
            raise ValueError("port must leave room for four more, up to 65531")
        self._host = host
        self._port = port
        self._runners: list[web.ServerRunner] = []
        self.accounts = default_accounts() if accounts is None else accounts
        self.knobs = Knobs() if knobs is None else knobs
        self.clock = ShiftedClock(SystemClock() if clock is None else clock)
        self.faults = Faults()
        self.ledger = Ledger()
        self.urls: dict[str, str] = {}
        self.control_url = ""
        self._kiiex = Kiiex(self.accounts, self.knobs.kiiex)

    async def start(self) -> Self:
        """Open the ports. Raises OSError when one is taken; then none stays open."""
        try:
            self.control_url = await self._serve(self._control(), 0)
            for number, (name, venue) in enumerate(self._venues().items(), 1):
                site = Site(name, venue, self.clock, self.faults, self.ledger)
                self.urls[name] = await self._serve(site, number)
        except OSError:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Close all ports and connections."""
        while self._runners:
            await self._runners.pop().cleanup()
        self.urls.clear()
        self.control_url = ""

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def unlock(self, user_id: str) -> bool:
        """Do what KIIEX's administrator does for a locked user; False if there is none."""
        return self._kiiex.unlock(user_id)

    def requests(self, venue: str = "", *, accepted: bool | None = None) -> tuple[Seen, ...]:
        """Return what the venues saw, oldest first."""
        return self.ledger.list(venue, accepted=accepted)

    def _venues(self) -> dict[str, VenueServer]:
        return {
            "nebulaex": Nebulaex(self.accounts, self.knobs.nebulaex),
            "kiiex": self._kiiex,
            "whitebit": Whitebit(self.accounts, self.knobs.whitebit),
            "aster": Aster(self.accounts, self.knobs.aster),
        }

    def _control(self) -> Control:
        return Control(
            accounts=self.accounts,
            knobs=self.knobs,
            faults=self.faults,
            ledger=self.ledger,
            clock=self.clock,
            urls=self.urls,
            unlock=self.unlock,
        )

    async def _serve(self, site: Site | Control, number: int) -> str:
        runner = web.ServerRunner(web.Server(site, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        self._runners.append(runner)
        port = self._port + number if self._port else 0
        await web.TCPSite(runner, self._host, port).start()
        return _url(self._host, runner.addresses[0][1])


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
