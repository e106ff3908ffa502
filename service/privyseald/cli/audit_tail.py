"""`privyseal audit tail`: the last lines of the log, for people, and those to come."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.text import Text

from privyseald.audit.follow import Follower
from privyseald.audit.link import Link, read_link
from privyseald.audit.open_sink import path_of
from privyseald.cli.output import USAGE, console, fail
from privyseald.cli.serve import CONFIG_FILE, ConfigFile
from privyseald.config import load_config
from privyseald.config_error import ConfigInvalid

_PAUSE_S = 0.2
_HEADER = ("time (UTC)", "outcome", "rpc", "key", "caller", "operation")
_WIDTHS = (23, 20, 14, 20, 40)
_PLACE = {"sequence", "previous", "chain", "replica", "time_us", "event", "signature", "key_id"}

Wanted = Callable[[Link], bool]


def tail(
    file: Annotated[
        Path | None, typer.Argument(help="The log; that of the configuration if left out.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more lines.")] = False,
    count: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines.")] = 20,
    caller: Annotated[str, typer.Option(help="Of this caller; * stands for any text.")] = "",
    key: Annotated[str, typer.Option(help="About this key; * stands for any text.")] = "",
    rpc: Annotated[str, typer.Option(help="Of this RPC, such as Sign.")] = "",
    refused: Annotated[bool, typer.Option("--refused", help="What was refused.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print lines as they are.")] = False,
    worker: Annotated[int, typer.Option(min=0, help="Of this worker's log.")] = 0,
    config_file: ConfigFile = CONFIG_FILE,
) -> None:
    """Show the end of the audit log."""
    path = file or _configured(config_file, worker)
    wanted = _filter(caller, key.removeprefix("keys/"), rpc, refused=refused)
    show = _show_json if as_json else _show
    try:
        with Follower(path) as follower:
            last: deque[tuple[bytes, Link]] = deque(maxlen=count)
            while lines := follower.more():
                last.extend(_chosen(lines, wanted))
            if not as_json:
                console.print(_columns(_HEADER, "bold"))
            for line, link in last:
                show(line, link)
            while follow:
                time.sleep(_PAUSE_S)
                for line, link in _chosen(follower.more(), wanted):
                    show(line, link)
    except OSError as error:
        fail(f"{path} can't be read ({error.strerror})", USAGE)
    except KeyboardInterrupt:
        raise typer.Exit from None


def _configured(config_file: Path, worker: int) -> Path:
    try:
        path = load_config(config_file, os.environ).audit.file
    except ConfigInvalid as error:
        fail(str(error), USAGE)
    if path is None:
        fail("audit.file is not set: the log goes to the server's standard output", USAGE)
    return path_of(path, worker)


def _filter(caller: str, key: str, rpc: str, *, refused: bool) -> Wanted:
    def is_wanted(link: Link) -> bool:
        name = link.text("rpc").rpartition("/")[2].partition("[")[0]
        return (
            (not caller or fnmatchcase(link.text("caller"), caller))
            and (not key or fnmatchcase(link.text("key").removeprefix("keys/"), key))
            and (not rpc or name.lower() == rpc.lower())
            and (not refused or link.text("decision") == "refused")
        )

    return is_wanted


def _chosen(lines: Iterable[bytes], wanted: Wanted) -> Iterable[tuple[bytes, Link]]:
    for line in lines:
        link = read_link(line)
        if link is not None and wanted(link):
            yield line, link


def _show_json(line: bytes, _link: Link) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def _show(_line: bytes, link: Link) -> None:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(link.time_us // 1_000_000))
    moment = f"{moment}.{link.time_us // 1_000 % 1_000:03}"
    if link.event:
        facts = {name: value for name, value in link.facts.items() if name not in _PLACE}
        told = orjson.dumps(facts).decode() if facts else ""
        cells, style = (moment, link.event, "", link.text("key"), link.text("caller"), told), "cyan"
    else:
        outcome = link.text("reason") or link.text("code")
        if link.facts.get("withheld"):
            outcome = f"{outcome} withheld"
        name = link.text("rpc").rpartition("/")[2]
        cells = (moment, outcome, name, link.text("key"), link.text("caller"), _did(link))
        style = "green" if link.text("decision") == "allowed" else "red"
    console.print(_columns(cells, style))


def _did(link: Link) -> str:
    nonce = link.text("nonce")
    return link.text("operation") + (f"  nonce {nonce}" if nonce else "")


def _columns(cells: tuple[str, ...], style: str) -> Text:
    """Return cells below their titles. What a caller made up can't move the cursor."""
    clean = ["".join(each if each.isprintable() else "?" for each in cell) for cell in cells]
    padded = [f"{cell:<{width}}" for cell, width in zip(clean, _WIDTHS, strict=False)]
    styled: list[tuple[str, str] | str] = [f"{padded[0]} ", (f"{padded[1]} ", style)]
    styled += [f"{cell} " for cell in padded[2:]]
    return Text.assemble(*styled, clean[-1])
