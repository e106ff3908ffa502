"""A way to venues that closes when something comes between."""

from collections.abc import Callable

from privyseald.outbound.outbound import Outbound, OutboundRequest, OutboundResponse


class GuardedOutbound:
    """Sends while `check` returns. What it raises is raised instead, and nothing is sent."""

    def __init__(self, outbound: Outbound, check: Callable[[], None]) -> None:
        self._outbound = outbound
        self._check = check

    async def send(self, request: OutboundRequest) -> OutboundResponse:
        """Return the venue's answer. Raises as `Outbound.send`, and what `check` raises."""
        self._check()
        return await self._outbound.send(request)
