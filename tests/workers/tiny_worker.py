"""A worker that does nothing but talk to its supervisor; a file says how it behaves."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from privyseald.workers.link import WorkerLink

PATIENCE_S = 60.0


async def work(link: WorkerLink, mood: Path) -> None:
    """Report until the supervisor is gone or ends this worker."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    number = mood.name.rpartition("-")[2]
    text = (
        "# HELP privyseal_tiny_total Tiny.\n# TYPE privyseal_tiny_total counter\n"
        f'privyseal_tiny_total{{worker="{number}"}} {number}\n'
    )
    reports = asyncio.create_task(link.report(lambda: mood.read_text() != "not ready", text.encode))
    reports.add_done_callback(lambda _: stop.set())
    await stop.wait()


def main(mood: Path) -> int:
    """Do what the file says at the start, and return the exit code."""
    link, temper = WorkerLink.take(), mood.read_text()
    mood.with_suffix(".config").write_text(link.config.model_dump_json())
    match temper:
        case "invalid":
            link.refuse("store.key_file: can't read it\nat all")
            return 2
        case "crash":
            return 7
        case "mute":
            time.sleep(PATIENCE_S)
        case "babble":
            link._socket.sendall(b"what?\n")
            time.sleep(PATIENCE_S)
        case "aloof":
            link._socket.close()
            os.close(0)
            time.sleep(PATIENCE_S)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            asyncio.run(link.report(lambda: True))
        case _:
            asyncio.run(work(link, mood))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
