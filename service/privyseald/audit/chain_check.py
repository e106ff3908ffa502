"""Checks lines one after the other: is each the one that followed when they were written?

A line is right if its chain is that of the line before, its sequence one higher, and its
`previous` the hash of the line before. Whatever is not right is reported once, at the line that
was changed as far as that can be told: the next lines tell, because they hold hashes too.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from privyseald.audit.checkpoint_key import AuditPublicKey
from privyseald.audit.finding import Finding, Severity
from privyseald.audit.link import Link, read_link
from privyseald.audit.proof import Expected, Proof
from privyseald.audit.run import Place, Run

_EDITED = "was edited after it was written: its hash is not the one that the next line holds"


@dataclass(slots=True)
class _Junk:
    """Lines that are no line of a log, since the last that was."""

    first: Place
    last: Place
    count: int
    sha256: str


@dataclass(slots=True)
class _Doubt:
    """A line whose `previous` is wrong: it, or the line before, was edited."""

    before: Place
    before_sha256: str
    place: Place
    line: bytes


class ChainCheck:
    """Feed it files and lines in the order of their chains; it reports, and fills `runs`."""

    def __init__(
        self,
        keys: Mapping[str, AuditPublicKey],
        report: Callable[[Finding], None],
        expected: Expected | None = None,
    ) -> None:
        self._report = report
        self._proof = Proof(keys, report, expected)
        self._file = ""
        self._run: Run | None = None
        self._junk: _Junk | None = None
        self._doubt: _Doubt | None = None
        self._stray: tuple[Place, Link] | None = None
        self._twin: tuple[Place, Link] | None = None
        self.runs: list[Run] = []

    @property
    def has_expected(self) -> bool:
        """Whether the line that must be there was there."""
        return self._proof.has_expected

    def begin_file(self, name: str) -> None:
        """Say in which file the next lines stand."""
        self._file = name

    def line(self, number: int, line: bytes) -> None:
        """Check the next line, without its newline."""
        place = (self._file, number)
        link = read_link(line)
        if link is None:
            self._note_junk(place, line)
            return
        run = self._run
        if run is None or link.begins_chain:
            self._begin(place, link, line)
        elif link.chain == run.chain and link.sequence == run.sequence + 1:
            self._follow(run, place, link, line)
        elif link.previous == run.sha256:
            self._broken("edited", place, "was edited: its chain or sequence is not its own")
            self._accept(run, place, link, line, is_linked=False)
            run.sequence = run.sequence_before + 1
            run.is_tainted = True
        elif link.chain != run.chain:
            self._take_stray(run, place, link, line)
        elif link.sequence > run.sequence:
            self._pass_gap(run, place, link, line)
        else:
            self._look_back(run, place, link)

    def end(self) -> None:
        """Say that no line follows."""
        self._close_run()
        self._drop_junk("is no line of an audit log")

    # -- what is as it should be

    def _follow(self, run: Run, place: Place, link: Link, line: bytes) -> None:
        if self._doubt is not None:
            self._settle_doubt(self._doubt, link)
        if self._twin is not None:
            self._settle_twin(run, self._twin, link)
        is_linked = link.previous == run.sha256
        # The hash of a line that was edited says nothing; that one is reported already.
        if not is_linked and not run.is_tainted:
            self._doubt = _Doubt(run.place, run.sha256, place, line)
        self._accept(run, place, link, line, is_linked=is_linked)

    def _begin(self, place: Place, link: Link, line: bytes) -> None:
        self._close_run()
        junk, self._junk = self._junk, None
        if junk is not None:
            is_known = junk.sha256 in {link.text("after_sha256"), link.text("torn_sha256")}
            self._junk_found(
                junk,
                Severity.UNPROVEN if is_known else Severity.BROKEN,
                "stood there before the log began to be a chain"
                if is_known
                else "is no line of an audit log",
            )
        if any(link.chain == run.chain for run in self.runs):
            self._broken("repeated", place, "begins a chain that began before: a copy of a file?")
        elif not link.begins_file:
            self._broken("missing", place, "is no line with which a log begins: some were removed")
        elif not link.begins_chain:
            message = f"begins with line {link.sequence} of its chain; older files are not given"
            self._say(Severity.NOTE, "begins-later", place, message)
        run = Run.beginning_at(place, link)
        self._run = run
        self.runs.append(run)
        self._accept(run, place, link, line)

    def _accept(
        self, run: Run, place: Place, link: Link, line: bytes, *, is_linked: bool = True
    ) -> None:
        if self._stray is not None:
            self._drop_stray()
        if self._junk is not None:
            self._explain_junk(link)
        self._proof.hear_before(run, place, link)
        run.take(place, link)
        is_sure = self._proof.hear(run, place, link, line, is_linked=is_linked)
        doubt = self._doubt
        if doubt is not None and doubt.place == place and is_sure:
            # This line is as it was written, so the one before is not.
            self._doubt = None
            self._broken("edited", doubt.before, _EDITED)

    # -- what is not

    def _settle_doubt(self, doubt: _Doubt, link: Link) -> None:
        """The line after the doubtful one knows the hash that it had."""
        self._doubt = None
        line_sha256 = hashlib.sha256(doubt.line).hexdigest()
        if link.previous == line_sha256:
            self._broken("edited", doubt.before, _EDITED)
            return
        own = read_link(doubt.line)
        mended = doubt.line.replace(
            own.previous.encode() if own else b"", doubt.before_sha256.encode(), 1
        )
        if hashlib.sha256(mended).hexdigest() != link.previous:
            self._broken("edited", doubt.before, _EDITED)
        self._broken("edited", doubt.place, _EDITED)
        if self._run is not None:
            self._run.is_tainted = True

    def _settle_twin(self, run: Run, twin: tuple[Place, Link], link: Link) -> None:
        """Of two lines with one sequence the next line knows the right one."""
        self._twin = None
        place, other = twin
        message = "was inserted: the chain goes on from another line of this sequence"
        if link.previous == other.sha256 != run.sha256:
            self._broken("inserted", run.place, message)
            run.take(place, other)
        else:
            self._broken("inserted", place, message)

    def _take_stray(self, run: Run, place: Place, link: Link, line: bytes) -> None:
        """A line of another chain: one that was put here, or the chain changes without a word."""
        stray = self._stray
        if stray is None or (link.chain, link.sequence, link.previous) != (
            stray[1].chain,
            stray[1].sequence + 1,
            stray[1].sha256,
        ):
            self._drop_stray()
            self._stray = place, link
            return
        self._stray = None
        first_place, first = stray
        if run.first_sequence == run.sequence and first.sequence == run.sequence + 1:
            self._broken("edited", run.place, "was edited: it names another chain than its next")
        elif any(first.chain == known.chain for known in self.runs):
            self._broken("mixed", first_place, "lines of two chains stand mixed in one file")
        else:
            self._broken(
                "foreign", first_place, "goes on with another chain, whose beginning is missing"
            )
        self._close_run()
        self._run = Run.beginning_at(first_place, first)
        self.runs.append(self._run)
        self._run.take(first_place, first)
        self._accept(self._run, place, link, line)

    def _pass_gap(self, run: Run, place: Place, link: Link, line: bytes) -> None:
        self._settle_open()
        missing = link.sequence - run.sequence - 1
        junk, self._junk = self._junk, None
        if junk is not None:
            self._junk_found(junk, Severity.BROKEN, "was edited: it is no line of an audit log")
        if junk is None or junk.count < missing:
            self._broken(
                "missing",
                place,
                f"stands where line {run.sequence + 1} of the chain should: "
                f"{missing} removed, or put elsewhere, up to {link.sequence - 1}"
                + ("; is a file missing?" if place[1] == 1 else ""),
            )
        self._accept(run, place, link, line, is_linked=False)

    def _look_back(self, run: Run, place: Place, link: Link) -> None:
        if link.sequence == run.sequence and link.previous == run.previous and not self._twin:
            self._twin = place, link
            return
        if self._stray is not None:
            self._drop_stray()
        self._broken(
            "repeated", place, "comes after lines that it stood before: put elsewhere, or repeated"
        )

    def _explain_junk(self, link: Link) -> None:
        junk, self._junk = self._junk, None
        if junk is None:
            return
        if junk.sha256 == link.text("torn_sha256") and junk.count == 1:
            self._junk_found(junk, Severity.NOTE, "was cut off as it was written; the next says so")
        else:
            self._junk_found(junk, Severity.BROKEN, "was inserted: it is no line of this chain")

    def _note_junk(self, place: Place, line: bytes) -> None:
        sha256 = hashlib.sha256(line).hexdigest()
        junk = self._junk
        if junk is None:
            self._junk = _Junk(place, place, 1, sha256)
        else:
            junk.last, junk.sha256 = place, sha256
            junk.count += 1

    def _drop_junk(self, message: str) -> None:
        junk, self._junk = self._junk, None
        if junk is not None:
            self._junk_found(junk, Severity.BROKEN, message)

    def _drop_stray(self) -> None:
        stray, self._stray = self._stray, None
        if stray is not None:
            self._broken("foreign", stray[0], "was inserted: it belongs to another chain")

    def _settle_open(self) -> None:
        """Report what no next line can explain any more."""
        doubt, self._doubt = self._doubt, None
        if doubt is not None:
            message = "was edited, or the next line was: that one holds another hash"
            self._broken("edited", doubt.before, message)
        twin, self._twin = self._twin, None
        if twin is not None:
            self._broken("repeated", twin[0], "has the sequence of the line before it")
        self._drop_stray()

    def _close_run(self) -> None:
        self._settle_open()
        run, self._run = self._run, None
        if run is None:
            return
        if run.unproven:
            message = (
                f"no checkpoint behind the last {run.unproven} lines of the chain: they may have "
                "been changed, and more of them cut off"
            )
            self._say(Severity.UNPROVEN, "end", run.place, message)
        elif not run.has_stopped:
            message = (
                "the chain does not end with a stop: it is being written, or it was cut off at "
                "a checkpoint"
            )
            self._say(Severity.NOTE, "open-end", run.place, message)

    def _junk_found(self, junk: _Junk, severity: Severity, message: str) -> None:
        file, line = junk.first
        last = junk.last[1] if junk.last[0] == file else line
        self._report(Finding(severity, "no-line", file, line, last, message))

    def _broken(self, kind: str, place: Place, message: str) -> None:
        self._say(Severity.BROKEN, kind, place, message)

    def _say(self, severity: Severity, kind: str, place: Place, message: str) -> None:
        self._report(Finding(severity, kind, place[0], place[1], place[1], message))
