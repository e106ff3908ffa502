"""Writes audit lines until it is killed, and says after each round how many were written."""

import asyncio
import itertools
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from audit_log import RPC, opened  # noqa: E402
from privyseald.audit.entry import Entry  # noqa: E402
from privyseald.clock import SystemClock  # noqa: E402
from privyseald.log import configure_log  # noqa: E402

_LINES = 20


async def write(path: Path) -> None:
    """Write for ever."""
    async with opened(path, SystemClock(), checkpoint_lines=50) as log:
        for number in itertools.count():
            await asyncio.gather(*(log.write(Entry(RPC), number) for _ in range(_LINES)))
            sys.stdout.write(f"{_LINES}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    configure_log("error", "json")
    asyncio.run(write(Path(sys.argv[1])))
