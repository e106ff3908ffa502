"""`privyseal sandbox`: the venues as servers that verify, for trying out and for your own CI."""

import asyncio
import signal
from typing import Annotated

import typer
import uvloop

from privyseald.cli.connect import Json
from privyseald.cli.output import USAGE, console, fail, print_json, print_table

# The venues of the configuration that each sandbox server stands for.
SERVES = {
    "nebulaex": ("nebulaex",),
    "kiiex": ("kiiex",),
    "whitebit": ("whitebit",),
    "aster": ("aster", "aster-v3"),
}


def sandbox(
    port: Annotated[
        int,
        typer.Option(
            "--port", help="Control server; the venues take the next four. 0: free ports.", min=0
        ),
    ] = 7500,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool,
        typer.Option(
            "--allow-remote", help="Let --host be other than loopback: anybody may change it then."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Serve the four venues until Ctrl-C. They verify every request as the venues do."""
    uvloop.run(_serve(port, host, allow_remote=allow_remote, as_json=as_json))


def base_urls(urls: dict[str, str]) -> dict[str, str]:
    """Return the base URL of each venue of the configuration."""
    return {venue: url for server, url in urls.items() for venue in SERVES[server]}


async def _serve(port: int, host: str, *, allow_remote: bool, as_json: bool) -> None:
    from privyseald.sandbox.sandbox import Sandbox  # noqa: PLC0415  # heavy; see cli/app.py

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        servers = await Sandbox(host=host, port=port, allow_remote=allow_remote).start()
    except ValueError as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f"port {port} and the next four can't be used: {error.strerror}", USAGE)
    try:
        if as_json:
            print_json({"control": servers.control_url, "venues": base_urls(servers.urls)})
        else:
            print_table(
                ("venue", "base URL"),
                [*base_urls(servers.urls).items(), ("(control)", servers.control_url)],
            )
            console.print("To sign for them, add to privyseal.toml:\n", markup=False)
            for venue, url in base_urls(servers.urls).items():
                console.print(
                    f'[venues.{venue}]\nbase_urls = {{ production = "{url}" }}\n', markup=False
                )
        await stop.wait()
    finally:
        await servers.close()
