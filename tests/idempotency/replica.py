"""A replica as a process of its own, as a program: state URL, scope, request id.

Begins with the work, says so, and ends it with the number that it is told; then it prints the
answer that it would give.
"""

import asyncio
import sys

from fakes import sealed
from idempotency.work import CLAIM_TTL_MS, CODEC
from privyseald.clock import SystemClock
from privyseald.errors import PrivysealError
from privyseald.idempotency.idempotency import Idempotency
from privyseald.open_state import open_state
from privyseald.state_config import StateConfig


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def _work() -> int:
    _say("at work")
    return int(await asyncio.to_thread(sys.stdin.readline))


async def _main(url: str, scope: str, request_id: str) -> None:
    clock = SystemClock()
    state = await open_state(StateConfig(url=url), clock)
    idempotency = Idempotency(sealed(state), clock, claim_ttl_ms=CLAIM_TTL_MS)
    try:
        answer = await idempotency.once(scope, request_id, b"f", _work, CODEC)
        _say(str(answer))
    except PrivysealError as error:
        _say(error.reason)
    await state.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
