import json
import re
from pathlib import Path

import pytest
from google.rpc import code_pb2, error_details_pb2

from privyseal.v1.error_reason_pb2 import ErrorReason
from privyseald import errors
from privyseald.rpc.status import code_name, code_of, internal_status, status_of
from service import Failure, failure_in

PROTO = Path(__file__).parents[2] / "protos/privyseal/v1/error_reason.proto"
LEAVES = errors.leaves()
_VALUE = re.compile(r"((?:  //.*\n)+)  ERROR_REASON_([A-Z0-9_]+) = [0-9]+;", re.MULTILINE)


def documented() -> dict[str, str]:
    """Return the comment of each value of the enum, by the value's short name."""
    return {
        name: re.sub(r"^  // ?", "", comment, flags=re.MULTILINE)
        for comment, name in _VALUE.findall(PROTO.read_text())
    }


def an(kind: type[errors.PrivysealError]) -> errors.PrivysealError:
    """Return an error of the class."""
    if issubclass(kind, errors.RequestInvalid):
        return kind("some.field", "is wrong; put it right")
    return kind("something is wrong; put it right")


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_every_leaf_has_a_code_that_the_contract_tells(leaf: type[errors.PrivysealError]) -> None:
    """The gRPC code of an error is the one that the proto's comment on its reason begins with."""
    told = documented()[leaf.reason].partition(".")[0]
    assert told == code_name(code_of(leaf))


def test_reasons_of_leaves_and_of_the_contract_are_the_same() -> None:
    """No leaf lacks a value in the enum, no value lacks a leaf, and no two leaves share one."""
    values = [name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()]  # noqa: SIM118
    expected = sorted(set(values) - {"UNSPECIFIED", "INTERNAL"})
    assert expected == sorted(leaf.reason for leaf in LEAVES)


def test_every_reason_shows_metadata_as_json() -> None:
    """Each comment in the contract holds an example, and it is a JSON object of texts."""
    comments = {name: text for name, text in documented().items() if name != "UNSPECIFIED"}
    examples = {
        name: re.search(r"^ +(\{.*\})$", text, re.MULTILINE) for name, text in comments.items()
    }
    broken = [
        name
        for name, found in examples.items()
        if not found or set(map(type, json.loads(found[1]).values())) - {str}
    ]
    assert (len(examples), broken) == (50, [])


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_every_status_has_one_error_info(leaf: type[errors.PrivysealError]) -> None:
    """Each leaf becomes a status with its reason, our domain, and the message unchanged."""
    error = an(leaf)
    status = status_of(error)
    infos = [info for each in status.details if each.Unpack(info := error_details_pb2.ErrorInfo())]
    assert [(leaf.reason, "privyseal")] == [(info.reason, info.domain) for info in infos]
    assert error.message == status.message


def test_a_wrong_field_is_named_twice() -> None:
    """A wrong request carries BadRequest with the field, and the field in the metadata."""
    error = errors.BodyInvalid("http_request.body", "is not JSON")
    expected = Failure(
        "INVALID_ARGUMENT",
        "http_request.body: is not JSON",
        "BODY_INVALID",
        {"field": "http_request.body"},
        "http_request.body",
    )
    assert expected == failure_in(status_of(error))


def test_a_failed_precondition_says_of_what() -> None:
    """A failed precondition carries PreconditionFailure with reason and key."""
    error = errors.KeyDisabled("keys/a is disabled", metadata={"key": "keys/a"})
    expected = Failure(
        "FAILED_PRECONDITION",
        "keys/a is disabled",
        "KEY_DISABLED",
        {"key": "keys/a"},
        precondition=("KEY_DISABLED", "keys/a"),
    )
    assert expected == failure_in(status_of(error))


def test_a_precondition_at_a_venue_names_the_venue() -> None:
    """Where no key is known, the subject of PreconditionFailure is the venue."""
    error = errors.VenueAccountLocked("locked", metadata={"venue": "kiiex"})
    assert failure_in(status_of(error)).precondition == ("VENUE_ACCOUNT_LOCKED", "kiiex")


def test_a_time_to_wait_becomes_retry_info() -> None:
    """`retry_after_ms` is RetryInfo, to the millisecond, on any error."""
    error = errors.SecretStoreSealed("sealed", retry_after_ms=1_234)
    assert Failure(
        "UNAVAILABLE", "sealed", "SECRET_STORE_SEALED", retry_after_ms=1_234
    ) == failure_in(status_of(error))


def test_without_a_time_to_wait_there_is_no_retry_info() -> None:
    """A client is never told to retry what a retry can't mend."""
    assert failure_in(status_of(errors.KeyUnknown("no such key"))).retry_after_ms is None


def test_an_internal_error_tells_an_id_and_no_more() -> None:
    """INTERNAL has a fresh id, in the message and in the metadata, for the log."""
    (status, error_id), (_, other_id) = internal_status(), internal_status()
    expected = Failure("INTERNAL", f"internal error {error_id}", "INTERNAL", {"errorId": error_id})
    assert expected == failure_in(status)
    assert error_id != other_id


def test_an_error_without_a_code_is_a_programmers_mistake() -> None:
    """A new branch of the tree can't be forgotten: it has no code until one is set."""
    with pytest.raises(LookupError, match="PrivysealError has no gRPC code"):
        code_of(errors.PrivysealError)


def test_a_branch_hands_its_code_down() -> None:
    """A leaf below a branch has the branch's code."""
    assert code_of(errors.VenueDescriptionTaken) == code_pb2.FAILED_PRECONDITION
