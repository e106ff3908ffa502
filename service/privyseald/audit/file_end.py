"""What a process finds at the end of an audit log that another has left."""

import hashlib
import os
from dataclasses import dataclass, field

from privyseald.audit.chain import Fact, Head, new_chain
from privyseald.audit.chain_check import ChainCheck
from privyseald.audit.finding import Finding, Severity
from privyseald.audit.link import Link, read_link

# How much of the end is looked at: some hundreds of lines.
_WINDOW = 262_144


@dataclass(frozen=True, slots=True)
class FileEnd:
    """Where to go on: the chain's head, bytes that make the last line whole, what was found."""

    head: Head
    needs_newline: bool = False
    facts: dict[str, Fact] = field(default_factory=dict)


def nothing_found() -> FileEnd:
    """Return the end of a place where nothing can be read: a chain of its own begins."""
    return FileEnd(new_chain(), facts={"found": "nothing"})


def read_file_end(descriptor: int) -> FileEnd:
    """Look at the end of a file. A chain that is there goes on, whatever else is wrong."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        return nothing_found()
    start = max(0, size - _WINDOW)
    window = os.pread(descriptor, size - start, start)
    if start:
        window = window.partition(b"\n")[2]
    *lines, cut = window.split(b"\n")
    last = read_link(cut) if cut else None
    if last is not None:
        # Only its newline is missing.
        lines.append(cut)
    elif lines:
        last = read_link(lines[-1])
    if last is None:
        after = hashlib.sha256(lines[-1]).hexdigest() if lines else ""
        facts: dict[str, Fact] = {"found": "foreign", "after_sha256": after}
        return FileEnd(new_chain(), needs_newline=bool(cut), facts={**facts, **_torn(cut)})
    is_whole = _is_whole(lines, first=0 if start else 1)
    facts = {"found": "whole" if is_whole else "broken"}
    if cut and lines[-1] is not cut:
        facts = {"found": "torn" if is_whole else "broken", **_torn(cut)}
    return FileEnd(_head(lines, last), needs_newline=bool(cut), facts=facts)


def _torn(cut: bytes) -> dict[str, Fact]:
    if not cut:
        return {}
    return {"torn_bytes": len(cut), "torn_sha256": hashlib.sha256(cut).hexdigest()}


def _is_whole(lines: list[bytes], first: int) -> bool:
    """Whether the chain holds. Of line 0 it is not known what comes before."""
    found: list[Finding] = []
    check = ChainCheck({}, found.append)
    check.begin_file("")
    for number, line in enumerate(lines, start=first):
        check.line(number, line)
    return not any(each.severity is Severity.BROKEN and each.last_line for each in found)


def _head(lines: list[bytes], last: Link) -> Head:
    """Return where the chain ends; how many lines have no checkpoint is as far as we saw."""
    since = 0
    for line in reversed(lines):
        link = read_link(line)
        if link is None or link.event == "checkpoint":
            break
        since += 1
    return last.head(since)
