"""`privyseal sandbox`: the venues as servers that verify, for trying out and for your own CI."""

import asyncio
import signal
from typing import Annotated

import typer
import uvloop

from privyseald.cli.connect import Json
from privyseald.cli.output import USAGE, console, fail, print_facts, print_json, print_table

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


def _known_keys() -> list[tuple[str, str]]:
    """Return how to import each API key that the sandbox knows: samples of public documents."""
    from privyseald.sandbox.accounts import default_accounts  # noqa: PLC0415  # see cli/app.py

    known = default_accounts()
    users = known.kiiex.values()
    return [
        *(("nebulaex", _known(key.api_key, key.api_secret)) for key in known.nebulaex.values()),
        *(("kiiex", _known(user.api_key, user.api_secret, user.user_id)) for user in users),
        *(("whitebit", _known(key.api_key, key.api_secret)) for key in known.whitebit.values()),
        *(("aster", _known(key.api_key, key.api_secret)) for key in known.aster_keys.values()),
    ]


def _known(api_key: str, secret: str, user_id: str = "") -> str:
    user = f" --field user_id={user_id}" if user_id else ""
    return f"--field api_key={api_key}{user}, secret {secret}"


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
            console.print("Keys that they know, for 'privyseal keys import':\n", markup=False)
            print_facts(_known_keys())
            console.print("\nTo sign for them, add to privyseal.toml:\n", markup=False)
            for venue, url in base_urls(servers.urls).items():
                console.print(
                    f'[venues.{venue}]\nbase_urls = {{ production = "{url}" }}\n', markup=False
                )
        await stop.wait()
    finally:
        await servers.close()
