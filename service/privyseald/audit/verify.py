"""Whether audit logs are as they were written, and how far that is proven."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from privyseald.audit.chain_check import ChainCheck
from privyseald.audit.checkpoint_key import AuditPublicKey
from privyseald.audit.finding import Finding, Findings, Severity
from privyseald.audit.log_lines import Unreadable, in_order, read_lines
from privyseald.audit.proof import Expected
from privyseald.audit.run import Run


@dataclass(frozen=True, slots=True)
class Report:
    """What was read, and what was found: nothing worse than `worst`."""

    files: int
    lines: int
    runs: tuple[Run, ...]
    findings: tuple[Finding, ...]
    left_out: int
    worst: Severity


def verify(
    paths: Sequence[Path],
    keys: Mapping[str, AuditPublicKey],
    expected: Expected | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Check files that belong together; `keys` by their ids, none to check the chain alone."""
    findings = Findings()
    check = ChainCheck(keys, findings.add, expected)
    ordered = in_order(paths)
    count = 0
    for path in ordered:
        name, is_last = str(path), path is ordered[-1]
        check.begin_file(name)
        number = 0
        try:
            for number, line, is_whole in read_lines(path, progress):
                if is_whole or not is_last:
                    check.line(number, line)
                else:
                    message = "has no end: it is being written, or its writer died"
                    findings.add(Finding(Severity.UNPROVEN, "torn", name, number, number, message))
        except Unreadable as error:
            message = f"can't be read any further ({error})"
            findings.add(Finding(Severity.BROKEN, "unreadable", name, number, number, message))
        count += number
    check.end()
    for finding in _overall(check, keys, expected, count):
        findings.add(finding)
    return Report(
        len(ordered),
        count,
        tuple(check.runs),
        tuple(findings.listed),
        findings.left_out,
        findings.worst,
    )


def _overall(
    check: ChainCheck, keys: Mapping[str, AuditPublicKey], expected: Expected | None, lines: int
) -> list[Finding]:
    """Return what is to be said of all files together."""
    found: list[tuple[Severity, str, str]] = []
    if not lines:
        found.append((Severity.UNPROVEN, "empty", "there is not one line to verify"))
    elif not keys and any(run.proven_sequence < run.sequence for run in check.runs):
        message = (
            "no public key was given, so no signature was checked: whoever could write the files "
            "could write all of them anew"
        )
        found.append((Severity.UNPROVEN, "no-key", message))
    if expected is not None and not check.has_expected:
        message = (
            f"there is no line {expected.sequence}"
            + (" with the expected hash" if expected.sha256 else "")
            + ": the log was cut or replaced, or not all of its files were given"
        )
        found.append((Severity.BROKEN, "cut", message))
    return [Finding(severity, kind, "", 0, 0, message) for severity, kind, message in found]
