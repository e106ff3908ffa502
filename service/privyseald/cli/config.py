"""`privyseal config check`: is what I wrote right?"""

import os

import typer

from privyseald.app import make_venues
from privyseald.cli.connect import Json
from privyseald.cli.output import USAGE, console, fail, print_facts, print_json
from privyseald.cli.serve import CONFIG_FILE, ConfigFile
from privyseald.config import load_config
from privyseald.config_error import ConfigInvalid
from privyseald.open_tokens import check_key_sets
from privyseald.policy.file import load_policy
from privyseald.tls_files import read_tls

app = typer.Typer(no_args_is_help=True, help="Look at the configuration.")


@app.callback()
def _config() -> None:
    """Look at the configuration."""


@app.command("check")
def check(config_file: ConfigFile = CONFIG_FILE, as_json: Json = False) -> None:
    """Read the configuration as 'serve' does, and print what is in force."""
    try:
        config = load_config(config_file, os.environ)
        venues = make_venues(config)
        if config.server.tls is not None:
            read_tls(config.server.tls)
        check_key_sets(config.server.jwt)
        load_policy(config.policy.file, venues)
    except ConfigInvalid as error:
        fail(str(error), USAGE)
    effective = config.effective()
    if as_json:
        print_json(effective)
        return
    print_facts(_flat(effective, ""))
    console.print("[green]ok[/green]: configuration and policy can be served")


def _flat(value: object, name: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [
            fact
            for key, child in value.items()
            for fact in _flat(child, f"{name}.{key}" if name else key)
        ]
    return [(name, str(value))]
