"""`privyseal audit`: is the log as it was written, and what does it say?"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
from rich.text import Text

from privyseald.app import read_audit_key
from privyseald.audit.checkpoint_key import AuditPublicKey
from privyseald.audit.finding import Finding, Severity
from privyseald.audit.log_lines import find_files
from privyseald.audit.proof import Expected
from privyseald.audit.run import Run
from privyseald.audit.verify import Report
from privyseald.audit.verify import verify as verify_files
from privyseald.cli import audit_tail
from privyseald.cli.connect import Json
from privyseald.cli.output import (
    AWAY,
    REFUSED,
    UNPROVEN,
    USAGE,
    console,
    fail,
    print_json,
    print_table,
)
from privyseald.cli.serve import CONFIG_FILE, ConfigFile
from privyseald.config import load_config
from privyseald.config_error import ConfigInvalid
from privyseald.errors import PrivysealError
from privyseald.log import configure_log

app = typer.Typer(no_args_is_help=True, help="Read the audit log, and prove that it is whole.")
app.command("tail")(audit_tail.tail)

_VERDICTS = {
    Severity.NOTE: ("ok", "green", "as they were written, and proven to the last"),
    Severity.UNPROVEN: ("not proven", "yellow", "nothing wrong was found, but not all is proven"),
    Severity.BROKEN: ("broken", "red", "not as they were written"),
}
_LIMIT = (
    "    Whether more were written after them, only a checkpoint kept elsewhere can tell: "
    "--expect-sequence, --expect-hash."
)
_STYLES = {Severity.NOTE: "dim", Severity.UNPROVEN: "yellow", Severity.BROKEN: "bold red"}
_EXIT_CODES = {Severity.NOTE: 0, Severity.UNPROVEN: UNPROVEN, Severity.BROKEN: REFUSED}


@app.command("verify")
def verify(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Files, or directories of *.jsonl and *.jsonl.gz."),
    ],
    public_key: Annotated[
        list[Path] | None,
        typer.Option(
            help="The key that signed the checkpoints, from 'privyseal audit public-key'. "
            "May be given again, for a log of several keys."
        ),
    ] = None,
    expect_sequence: Annotated[
        int | None, typer.Option(min=1, help="A line that must be there, known from elsewhere.")
    ] = None,
    expect_hash: Annotated[
        str | None, typer.Option(help="The SHA-256 of that line, in hex.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the chain of an audit log and the signatures of its checkpoints.

    Exit code 0: whole, and proven to the last line; 1: something was changed, added, taken away
    or reordered; 4: nothing wrong was found, but not all of it is proven.
    """
    if expect_hash is not None and expect_sequence is None:
        fail("--expect-hash needs --expect-sequence: the hash of which line?", USAGE)
    expected = expect_sequence and Expected(expect_sequence, (expect_hash or "").lower())
    keys = {key.key_id: key for key in map(_read_public_key, public_key or [])}
    try:
        files = find_files(paths)
        size = sum(file.stat().st_size for file in files)
    except OSError as error:
        fail(f"{error.filename} can't be read ({error.strerror})", USAGE)
    if not files:
        fail("there are no *.jsonl files there", USAGE)
    with _progress(size) as progress:
        report = verify_files(files, keys, expected or None, progress)
    if as_json:
        print_json(_plain(report))
    else:
        _show(report, has_expected=expected is not None)
    raise typer.Exit(_EXIT_CODES[report.worst])


@app.command("public-key")
def public_key(config_file: ConfigFile = CONFIG_FILE) -> None:
    """Print the key that verifies checkpoints, for who audits to keep elsewhere.

    It is read from the configuration's secret store, and made there if there is none yet. An
    embedded store is open to one process, so stop the server first.
    """
    advice = ""
    try:
        config = load_config(config_file, os.environ)
        if config.store.is_embedded:
            advice = (
                "The running server's own log has the key too: 'public_key' of the event "
                "'audit checkpoint'."
            )
        configure_log("critical", "auto")
        key = asyncio.run(read_audit_key(config))
    except ConfigInvalid as error:
        fail(str(error), USAGE, advice)
    except PrivysealError as error:
        fail(error.message, AWAY)
    sys.stdout.write(key.pem)


def _read_public_key(path: Path) -> AuditPublicKey:
    try:
        return AuditPublicKey.from_pem(path.read_bytes())
    except OSError as error:
        fail(f"--public-key: {path} can't be read ({error.strerror})", USAGE)
    except (ValueError, TypeError):
        fail(
            f"--public-key: {path} is no Ed25519 public key in PEM",
            USAGE,
            "'privyseal audit public-key' prints it.",
        )


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far we are."""
    terminal = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as shown:
        task = shown.add_task("", total=size)
        yield lambda count: shown.advance(task, count)


def _show(report: Report, *, has_expected: bool) -> None:
    print_table(
        ("chain", "replica", "lines", "from", "to", "checkpoints", "proven to"),
        [_row(run) for run in report.runs],
    )
    for finding in report.findings:
        _show_finding(finding)
    if report.left_out:
        console.print(f"and {report.left_out} more")
    word, style, meaning = _VERDICTS[report.worst]
    files = f"{report.files} file" + ("s" if report.files > 1 else "")
    console.print(Text.assemble((word, style), f": {report.lines} lines in {files}, {meaning}"))
    if report.worst is Severity.NOTE and not has_expected:
        console.print(_LIMIT)


def _show_finding(finding: Finding) -> None:
    place = f"{finding.place} " if finding.place else ""
    style = _STYLES[finding.severity]
    console.print(Text.assemble((f"{finding.severity:<9}", style), f"{place}{finding.message}"))


def _row(run: Run) -> tuple[str, ...]:
    return (
        run.chain,
        run.replica,
        f"{run.first_sequence}-{run.sequence}",
        _day(run.first_time_us),
        _day(run.time_us),
        str(run.checkpoints),
        str(run.proven_sequence or "-"),
    )


def _day(time_us: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time_us / 1e6))
    except (ValueError, OverflowError, OSError):
        return "-"


def _plain(report: Report) -> dict[str, object]:
    words = {Severity.NOTE: "intact", Severity.UNPROVEN: "unproven", Severity.BROKEN: "broken"}
    return {
        "verdict": words[report.worst],
        "files": report.files,
        "lines": report.lines,
        "chains": [
            {
                "chain": run.chain,
                "replica": run.replica,
                "first_sequence": run.first_sequence,
                "last_sequence": run.sequence,
                "last_sha256": run.sha256,
                "first_time_us": run.first_time_us,
                "last_time_us": run.time_us,
                "checkpoints": run.checkpoints,
                "proven_sequence": run.proven_sequence,
            }
            for run in report.runs
        ],
        "findings": [asdict(finding) for finding in report.findings],
        "findings_left_out": report.left_out,
    }
