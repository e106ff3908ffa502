"""What the HTTP port of operations answers."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from privyseald.clock import Clock
from privyseald.telemetry.exposition import CONTENT_TYPE
from privyseald.telemetry.http_door import Answer, Respond, json_answer
from privyseald.telemetry.paced_scrape import PacedScrape

_OFF = "off"


def ops_paths(
    metrics: Callable[[], Awaitable[bytes]],
    is_ready: Callable[[], bool],
    checks: Callable[[], Mapping[str, object]],
    clock: Clock,
) -> dict[str, Respond]:
    """Return the paths. `checks` tells what stands behind `is_ready`, and holds no secret."""
    paced = PacedScrape(metrics, clock)

    async def scrape() -> Answer:
        return Answer(HTTPStatus.OK, await paced.text(), CONTENT_TYPE)

    async def live() -> Answer:
        return Answer(HTTPStatus.OK, b"ok\n")

    async def ready() -> Answer:
        yes = is_ready()
        status = HTTPStatus.OK if yes else HTTPStatus.SERVICE_UNAVAILABLE
        return json_answer(status, {"ready": yes, "checks": dict(checks())})

    return {"/metrics": scrape, "/livez": live, "/readyz": ready}


def is_off(listen: str) -> bool:
    """Whether the configuration wants no such port."""
    return listen == _OFF
