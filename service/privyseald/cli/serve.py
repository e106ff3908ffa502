"""`privyseal serve`: the server, until SIGTERM."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop

from privyseald.app import App
from privyseald.cli.output import USAGE, fail
from privyseald.config import Config, load_config
from privyseald.config_error import ConfigInvalid
from privyseald.hygiene import close_memory
from privyseald.log import configure_log

ConfigFile = Annotated[
    Path,
    typer.Option("--config", help="The configuration, in TOML.", envvar="PRIVYSEAL_CONFIG"),
]
CONFIG_FILE = Path("privyseal.toml")


def serve(config_file: ConfigFile = CONFIG_FILE) -> None:
    """Serve gRPC until SIGTERM or Ctrl-C, then drain and stop."""
    try:
        config = load_config(config_file, os.environ)
        configure_log(config.log.level, config.log.format)
        for shortcoming in close_memory():
            structlog.get_logger("privyseald").warning("memory open", advice=shortcoming)
        uvloop.run(_serve(config))
    except ConfigInvalid as error:
        fail(str(error), USAGE)


async def _serve(config: Config) -> None:
    log = structlog.get_logger("privyseald")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with App(config) as app:
        log.info(
            "serving",
            port=app.server.port,
            ops_port=app.server.ops_port,
            tls=config.server.tls is not None,
            store=config.store.url,
        )
        await stop.wait()
        log.info("draining")
    log.info("stopped")
