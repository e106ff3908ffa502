"""`privyseal serve`: the server, until SIGTERM; with several workers, what looks after them."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop

from privyseald.app import App
from privyseald.cli.output import USAGE, fail
from privyseald.clock import SystemClock
from privyseald.config import Config, load_config
from privyseald.config_error import ConfigInvalid
from privyseald.hygiene import close_memory
from privyseald.log import configure_log
from privyseald.workers.link import WorkerLink
from privyseald.workers.supervisor import Supervisor, WorkerTimes

ConfigFile = Annotated[
    Path,
    typer.Option("--config", help="The configuration, in TOML.", envvar="PRIVYSEAL_CONFIG"),
]
WorkerNumber = Annotated[int | None, typer.Option("--worker", hidden=True, min=1)]
CONFIG_FILE = Path("privyseal.toml")


def serve(config_file: ConfigFile = CONFIG_FILE, worker: WorkerNumber = None) -> None:
    """Serve gRPC until SIGTERM or Ctrl-C, then drain and stop."""
    try:
        if worker is not None:
            _work(worker)
            return
        config = load_config(config_file, os.environ)
        _begin(config)
        if config.server.workers > 1:
            asyncio.run(_supervise(config))
        else:
            uvloop.run(_serve(config))
    except ConfigInvalid as error:
        fail(str(error), USAGE)


def _work(number: int) -> None:
    """Serve as one worker of a supervisor, which says for all of them what is wrong."""
    link = WorkerLink.take()
    try:
        _begin(link.config, worker=number)
        uvloop.run(_serve(link.config, number, link))
    except ConfigInvalid as error:
        link.refuse(str(error))
        raise typer.Exit(USAGE) from error


def _begin(config: Config, *, worker: int = 0) -> None:
    configure_log(config.log.level, config.log.format, worker=worker)
    for shortcoming in close_memory():
        structlog.get_logger("privyseald").warning("memory open", advice=shortcoming)


async def _serve(config: Config, worker: int = 0, link: WorkerLink | None = None) -> None:
    log = structlog.get_logger("privyseald")
    stop = _stop_event()
    app = App(config, worker=worker)
    async with app:
        log.info(
            "serving",
            port=app.server.port,
            **({} if worker else _ops_ports(app.server.ops_port, app.telemetry.port)),
            tls=config.server.tls is not None,
            store=config.store.url,
        )
        reports = asyncio.create_task(_report(app, link, stop)) if link else None
        await stop.wait()
        log.info("draining")
    if reports:
        # Up to here the supervisor could see that this worker was not hanging.
        reports.cancel()
    log.info("stopped")


async def _report(app: App, link: WorkerLink, stop: asyncio.Event) -> None:
    await link.report(lambda: app.server.is_ready, app.telemetry.text)
    structlog.get_logger("privyseald").error("supervisor gone")
    # Nobody is left to kill this process if it does not come to its end.
    signal.setitimer(signal.ITIMER_REAL, link.config.longest_creation_ms / 1_000)
    app.hurry()
    stop.set()


async def _supervise(config: Config) -> None:
    log = structlog.get_logger("privyseald")
    stop = _stop_event()
    command = (sys.executable, "-m", "privyseald", "serve", "--worker")
    # A worker waits that long for a key that a venue is about to issue; others end earlier.
    times = WorkerTimes(last_wait_ms=config.longest_creation_ms)
    async with Supervisor(
        config, lambda number: (*command, str(number)), SystemClock(), times
    ) as supervisor:
        log.info(
            "supervising",
            workers=config.server.workers,
            port=supervisor.port,
            **_ops_ports(supervisor.ops_port, supervisor.http_port),
        )
        await supervisor.run(stop)
    log.info("stopped")


def _ops_ports(grpc: int, http: int) -> dict[str, int]:
    """Return where operations are served; HTTP may be off."""
    return {"ops_port": grpc, **({"http_ops_port": http} if http else {})}


def _stop_event() -> asyncio.Event:
    """Return what SIGTERM and Ctrl-C set; a second one changes nothing."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
