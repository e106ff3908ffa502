from pathlib import Path

import pytest

from conformance.case import Case, load_cases
from conformance.messages import RPCS, encode
from privyseal.v1.error_reason_pb2 import ErrorReason

CASES = load_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_written_in_words_that_there_are(case: Case) -> None:
    """Its RPCs and their fields are in the contract, and each step expects or does something."""
    for step in case.steps:
        assert ("do" in step) != ("harness" in step)
        if step.get("do") == "call" and "${" not in str(step["request"]):
            encode(step["rpc"], step["request"])
    assert case.about.endswith(".")


def test_every_rpc_is_called() -> None:
    """No RPC is without a case."""
    called = {step["rpc"] for case in CASES for step in case.steps if step.get("do") == "call"}
    assert called | {"WatchSession"} == set(RPCS)


def test_every_reason_is_told() -> None:
    """Each reason of the contract comes to each client, with what it carries."""
    told = {
        step["expect"]["error"]["reason"]
        for case in CASES
        for step in case.steps
        if "reason" in step.get("expect", {}).get("error", {})
    }
    assert {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()[1:]} <= told


def test_a_case_twice_is_refused(tmp_path: Path) -> None:
    """Two cases of one name, or one without steps, are no set of cases."""
    (tmp_path / "a.json").write_text('[{"name": "a", "about": "x", "steps": [{}]}]')
    (tmp_path / "b.json").write_text('[{"name": "a", "about": "y", "steps": [{}]}]')
    with pytest.raises(ValueError, match="more than one case a"):
        load_cases(tmp_path)
    (tmp_path / "b.json").write_text('[{"name": "b", "about": "y", "steps": []}]')
    with pytest.raises(ValueError, match=r"b\.json: a case has"):
        load_cases(tmp_path)
