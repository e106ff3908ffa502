"""Runs every case with every client, and prints who does what it should.

`make conformance` calls it: all five languages, or those that are named.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
# Cases make handshakes fail on purpose, and gRPC would tell of each.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import structlog

from conformance.case import Case, load_cases
from conformance.clients import LANGUAGES, Client
from conformance.examples import check_examples
from conformance.language_run import LanguageRun


@dataclass(slots=True)
class Outcome:
    """What came of one language: nothing where it was not run."""

    language: str
    wrong: dict[str, str] | None = None
    missing: str = ""
    overhead: str = ""
    took_s: float = 0.0
    others: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether all cases ran and were as they should be."""
        return self.wrong is not None and not any(self.wrong.values()) and not self.others


def main() -> int:
    """Return 0 where every case of every language asked for was good."""
    arguments = _arguments()
    structlog.configure(processors=[lambda *_: (_ for _ in ()).throw(structlog.DropEvent)])
    cases = [case for case in load_cases() if arguments.case in case.name]
    outcomes = []
    for language in arguments.languages:
        outcome = _outcome(Client(language), cases, whole=not arguments.case)
        outcomes.append(outcome)
        print(_summary(outcome, len(cases)), flush=True)
        for name, wrong in (outcome.wrong or {}).items():
            if wrong:
                print(f"  {name}: {wrong}")
        for wrong in outcome.others:
            print(f"  {wrong}")
    _print_table(cases, outcomes)
    absent = [each.language for each in outcomes if each.missing]
    if absent:
        print(f"not run: {', '.join(absent)}; nothing is known of them here")
    bad = [each for each in outcomes if not each.is_good and not each.missing]
    return 1 if bad or (absent and os.environ.get("CI")) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("languages", nargs="*", metavar="language", help=" ".join(LANGUAGES))
    parser.add_argument("--case", default="", help="only cases whose name has this in it")
    arguments = parser.parse_args()
    arguments.languages = arguments.languages or list(LANGUAGES)
    if unknown := set(arguments.languages) - set(LANGUAGES):
        parser.error(f"there is no client for {', '.join(sorted(unknown))}")
    return arguments


def _outcome(client: Client, cases: Sequence[Case], *, whole: bool) -> Outcome:
    outcome = Outcome(client.language, missing=client.missing)
    if client.missing:
        return outcome
    print(f"{client.language}: building", flush=True)
    if failure := client.build():
        outcome.others.append(f"does not build:\n{failure}")
        return outcome
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="privyseal-conformance-") as name:
        run = LanguageRun(client, Path(name))
        outcome.wrong = asyncio.run(run.run(cases))
        outcome.overhead = run.overhead
        outcome.others += run.others
    if whole:
        with tempfile.TemporaryDirectory(prefix="privyseal-examples-") as name:
            outcome.others += asyncio.run(check_examples(client, Path(name)))
    outcome.took_s = time.monotonic() - started
    return outcome


def _summary(outcome: Outcome, count: int) -> str:
    if outcome.missing:
        return f"{outcome.language}: not run, {outcome.missing} is not on this machine"
    if outcome.wrong is None:
        return f"{outcome.language}: not run"
    good = sum(not wrong for wrong in outcome.wrong.values())
    return (
        f"{outcome.language}: {good} of {count} cases good in {outcome.took_s:.0f} s"
        f"{'; ' + outcome.overhead if outcome.overhead else ''}"
    )


def _print_table(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> None:
    width = max(len(case.name) for case in cases)
    print("\n" + " " * width + "  " + "  ".join(each.language for each in outcomes))
    for case in cases:
        marks = (
            ("-" if each.wrong is None else "FAIL" if each.wrong[case.name] else "ok").ljust(
                len(each.language)
            )
            for each in outcomes
        )
        print(f"{case.name:<{width}}  {'  '.join(marks).rstrip()}")
    ran = [each for each in outcomes if each.wrong is not None]
    passed = sum(not wrong for each in ran for wrong in (each.wrong or {}).values())
    failed = sum(len(each.wrong or {}) for each in ran) - passed
    print(f"\n{passed} passed, {failed} failed")


if __name__ == "__main__":
    sys.exit(main())
