"""The command `privyseal`.

The sandbox, with the Ethereum libraries that it verifies with, is imported by the commands that
run it: `serve` shall be ready in under a second.
"""

from pathlib import Path
from typing import Annotated

import typer

from privyseald import __version__
from privyseald.cli import (
    audit,
    config,
    demo,
    hold,
    init,
    keys,
    policy,
    reconcile,
    sandbox,
    serve,
    sign,
    venues,
)
from privyseald.cli.connect import use_token_file
from privyseald.cli.output import console

app = typer.Typer(
    name="privyseal",
    help="Sign, log in and create keys at crypto venues, and never see a secret.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("sandbox")(sandbox.sandbox)
app.command("sign")(sign.sign)
app.command("login")(sign.login)
app.command("logout")(sign.logout)
keys.app.command("reconcile")(reconcile.reconcile)
app.add_typer(keys.app, name="keys")
app.add_typer(hold.app, name="hold")
app.add_typer(venues.app, name="venues")
app.add_typer(audit.app, name="audit")
app.add_typer(config.app, name="config")
app.add_typer(policy.app, name="policy")


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f"privyseal {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            help="Bring the bearer token in this file, in place of what the client file says.",
            envvar="PRIVYSEAL_TOKEN_FILE",
        ),
    ] = None,
) -> None:
    """Sign, log in and create keys at crypto venues, and never see a secret."""
    use_token_file(token_file)


def main() -> None:
    """Run the command line."""
    app()
