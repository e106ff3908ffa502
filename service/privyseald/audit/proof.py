"""What lines themselves say about the log: checkpoints, restarts, and what was found then."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from privyseald.audit.checkpoint_key import AuditPublicKey
from privyseald.audit.finding import Finding, Severity
from privyseald.audit.link import Link
from privyseald.audit.run import Place, Run

_CLOCK_STEP_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Expected:
    """A line that must be there, known from elsewhere: its sequence, and its hash if known."""

    sequence: int
    sha256: str = ""


class Proof:
    """Hears each line that took its place in a chain, and notes how far the chain is proven."""

    def __init__(
        self,
        keys: Mapping[str, AuditPublicKey],
        report: Callable[[Finding], None],
        expected: Expected | None,
    ) -> None:
        self._keys = keys
        self._report = report
        self._expected = expected
        self.has_expected = False

    def hear_before(self, run: Run, place: Place, link: Link) -> None:
        """Hear a line while the run still ends at the one before."""
        if link.time_us + _CLOCK_STEP_US < run.time_us:
            self._say(Severity.NOTE, "clock", place, "the clock was set back before this line")
        if link.event == "cut":
            self._hear_cut(run, place, link)
        if link.event != "start":
            return
        if link.text("found") == "broken":
            message = "the service itself found the log changed when it started"
            self._say(Severity.BROKEN, "found-broken", place, message)
        if run.lines and run.unproven:
            message = (
                f"the service started again, and no checkpoint covered the {run.unproven} lines "
                "before: who could write to the disk then could cut or change them"
            )
            self._say(Severity.UNPROVEN, "restart", place, message)

    def _hear_cut(self, run: Run, place: Place, link: Link) -> None:
        """What the state remembered was more than what the service found at its start."""
        chain, sequence = link.text("noted_chain")[:32], link.facts.get("noted_sequence")
        if chain == run.chain:
            message = f"lines up to {sequence} were there, and gone when the service started"
            self._say(Severity.BROKEN, "found-cut", place, message)
        else:
            message = (
                f"the service had written the chain {chain} up to line {sequence}, and found "
                "another log, or none, when it started"
            )
            self._say(Severity.UNPROVEN, "found-other", place, message)

    def hear(self, run: Run, place: Place, link: Link, line: bytes, *, is_linked: bool) -> bool:
        """Hear a line that is the run's last now. Return whether it is surely as it was written;
        it proves what is before if that is linked to it.
        """
        expected = self._expected
        if expected is not None and link.sequence >= expected.sequence:
            is_it = (link.sequence, link.sha256) == (expected.sequence, expected.sha256)
            self.has_expected |= is_it or not expected.sha256
            if is_it:
                run.prove(link)
        run.has_stopped = link.event == "stop" or (
            run.has_stopped and link.event == "checkpoint" and is_linked
        )
        if link.event != "checkpoint":
            if "signature" in link.facts:
                message = "was edited: only a checkpoint has a signature"
                self._say(Severity.BROKEN, "edited", place, message)
            return False
        run.checkpoints += 1
        if not self._keys:
            run.unproven = 0
            return False
        key_id = link.text("key_id")
        key = self._keys.get(key_id)
        if key is None:
            message = (
                f"is signed with the key {key_id[:32] or 'of nobody'}, which you did not give: "
                "this is no log of the service whose public key you have, or it was forged"
            )
            self._say(Severity.BROKEN, "wrong-key", place, message)
            return False
        if not key.has_signed(line):
            message = "was edited: its signature does not verify"
            self._say(Severity.BROKEN, "bad-signature", place, message)
            return False
        if is_linked:
            run.prove(link)
        return True

    def _say(self, severity: Severity, kind: str, place: Place, message: str) -> None:
        self._report(Finding(severity, kind, place[0], place[1], place[1], message))
