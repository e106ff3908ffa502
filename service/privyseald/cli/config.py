"""`privyseal config check` and `privyseal policy check`: is what I wrote right?"""

import os
from pathlib import Path
from typing import Annotated

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
from privyseald.venues.registry import Venues

app = typer.Typer(no_args_is_help=True, help="Look at the configuration.")
policy_app = typer.Typer(no_args_is_help=True, help="Look at the policy.")


@app.callback()
def _config() -> None:
    """Look at the configuration."""


@policy_app.callback()
def _policy() -> None:
    """Look at the policy."""


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


@policy_app.command("check")
def policy_check(
    file: Annotated[Path, typer.Argument(help="The policy file, in YAML.")],
) -> None:
    """Read a policy as 'serve' does."""
    try:
        load_policy(file, Venues())
    except ConfigInvalid as error:
        fail(str(error), USAGE)
    console.print(f"[green]ok[/green]: {file} can be enforced")


def _flat(value: object, name: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [
            fact
            for key, child in value.items()
            for fact in _flat(child, f"{name}.{key}" if name else key)
        ]
    return [(name, str(value))]
