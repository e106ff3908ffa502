"""`privyseal serve` that kills itself, by SIGKILL, once a step of CreateKey is done.

Run as: python serve_and_die.py CONFIG STEP. With an unknown STEP it lives.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import structlog

from privyseald.app import App
from privyseald.config import load_config
from privyseald.usecases.create_key_saga import Step


async def serve(config_file: Path, last_step: str) -> None:
    """Serve until killed; print the port when ready to take requests."""

    def die(step: Step) -> None:
        if step.value == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    # What the service logs must not come before the port.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    async with App(load_config(config_file, {}), on_step=die) as app:
        sys.stdout.write(f"{app.server.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))
