"""A plain HTTP caller of a sandbox, and a clock that stands still."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from privyseald.sandbox.json_text import Json
from privyseald.sandbox.sandbox import Sandbox

START_MS = 1_700_000_000_000


class StoppedClock:
    """A clock that moves by hand."""

    def __init__(self, time_ms: int = START_MS) -> None:
        self.time_ms = time_ms

    def time_us(self) -> int:
        """Return Unix time in microseconds."""
        return self.time_ms * 1_000

    def monotonic_ms(self) -> int:
        """Return the same in milliseconds."""
        return self.time_ms

    def monotonic_us(self) -> int:
        """Return the same again."""
        return self.time_us()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        """The body as JSON, whatever the content type says."""
        value: Json = json.loads(self.body)
        return value

    def text(self, *path: str) -> str:
        """Return the text at a path of keys in the body."""
        value = self.json
        for key in path:
            assert isinstance(value, Mapping)
            value = value[key]
        assert isinstance(value, str)
        return value


class Caller:
    """Sends requests to the venues of a sandbox exactly as they are given."""

    def __init__(
        self, sandbox: Sandbox, session: aiohttp.ClientSession, clock: StoppedClock
    ) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self._session = session

    async def send(
        self,
        venue: str,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | str = b"",
        *,
        local: str = "",
    ) -> Reply:
        """Send to a venue, or to the control server where `venue` is 'control'.

        `local` is the address to send from, any on this machine when empty.
        """
        base = self.sandbox.control_url if venue == "control" else self.sandbox.urls[venue]
        if local:
            connector = aiohttp.TCPConnector(local_addr=(local, 0))
            async with aiohttp.ClientSession(connector=connector) as session:
                caller = Caller(self.sandbox, session, self.clock)
                return await caller.send(venue, method, target, headers, body)
        async with self._session.request(
            method,
            URL(base + target, encoded=True),
            headers=headers,
            data=body.encode() if isinstance(body, str) else body,
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),
        ) as response:
            return Reply(response.status, dict(response.headers), await response.read())
