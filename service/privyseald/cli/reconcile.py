"""`privyseal keys reconcile`: put right what an outage or a crash left of key creations."""

import asyncio
import os
from dataclasses import asdict

import typer

from privyseald.app import open_reconcile
from privyseald.cli.connect import Json
from privyseald.cli.output import (
    AWAY,
    REFUSED,
    USAGE,
    console,
    fail,
    print_facts,
    print_json,
    print_table,
)
from privyseald.cli.serve import CONFIG_FILE, ConfigFile
from privyseald.config import Config, load_config
from privyseald.config_error import ConfigInvalid
from privyseald.errors import PrivysealError
from privyseald.log import configure_log
from privyseald.usecases.reconcile import Finding, Outcome


def reconcile(config_file: ConfigFile = CONFIG_FILE, as_json: Json = False) -> None:
    """Move keys from escrow into the store, and show which creations need a look.

    It reads the server's own configuration, on the server's machine. With keys in Vault it may
    run beside the server; an embedded store is open to one process, so stop the server first.
    The server does the same by itself, at its start and while anything waits.
    """
    advice = ""
    try:
        config = load_config(config_file, os.environ)
        if config.store.is_embedded:
            advice = "A server that runs on this store reconciles by itself; see its log."
        configure_log("critical", "auto")
        findings, failure = asyncio.run(_reconcile(config))
    except ConfigInvalid as error:
        fail(str(error), USAGE, advice)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    elif findings:
        _show(findings)
    elif failure is None:
        console.print("[green]ok[/green]: nothing waits in escrow, and no creation was left behind")
    if failure is not None:
        fail(failure.message, AWAY, "What waits in escrow stays there; nothing is lost.")
    if any(finding.outcome is not Outcome.MOVED for finding in findings):
        raise typer.Exit(REFUSED)


async def _reconcile(config: Config) -> tuple[list[Finding], PrivysealError | None]:
    """Return what was found, and what kept us from looking further."""
    async with open_reconcile(config) as reconcile_keys:
        findings = list(await reconcile_keys.records())
        try:
            left_behind, _ = await reconcile_keys.reservations()
        except PrivysealError as error:
            return findings, error
        return findings + list(left_behind), None


def _show(findings: list[Finding]) -> None:
    print_table(
        ("key", "venue", "outcome", "cause"),
        [(each.key_id, each.venue, each.outcome.value, each.cause) for each in findings],
    )
    print_facts((each.key_id, each.advice) for each in findings)
