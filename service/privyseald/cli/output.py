"""What commands print: tables for people, JSON for machines, errors with advice."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

# What the shell sees: 0 done, 1 refused or failed, 2 wrong usage, 3 the server is away,
# 4 nothing wrong was found, but not all is proven.
REFUSED, USAGE, AWAY, UNPROVEN = 1, 2, 3, 4

# A pipe has no width of its own; a table cut at 80 columns helps nobody.
_PIPE_WIDTH = 120
console = Console(
    soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH
)
_errors = Console(stderr=True, soft_wrap=True, highlight=False)


def fail(message: str, code: int = REFUSED, advice: str = "") -> NoReturn:
    """Print an error, and what to do about it, to standard error, and exit."""
    _errors.print(Text.assemble(("error: ", "bold red"), message))
    if advice:
        _errors.print(Text.assemble(("       ", ""), advice))
    raise typer.Exit(code)


def warn(message: str) -> None:
    """Print to standard error what went wrong, and go on."""
    _errors.print(Text.assemble(("warning: ", "bold yellow"), message))


def print_json(value: Mapping[str, object] | Sequence[object]) -> None:
    """Print a plain value as JSON."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print a table."""
    table = Table(*columns, title=title or None, box=SIMPLE_HEAD, title_justify="left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values below one another."""
    shown = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        console.print(Text.assemble((f"{name:<{width}}  ", "dim"), value))
