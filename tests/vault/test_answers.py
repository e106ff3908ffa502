from collections.abc import Callable, Mapping

import pytest

from privyseald.errors import SecretStoreUnreachable
from privyseald.signing.secret import SecretBytes
from privyseald.vault import answers

TIME = "2026-11-21T10:00:00.123456789Z"
TIME_MS = 1_795_255_200_123


@pytest.mark.parametrize(
    "read",
    [
        answers.read_version,
        answers.read_metadata,
        answers.read_written,
        answers.read_names,
        answers.read_login,
        lambda answer: answers.read_lookup(SecretBytes("t"), answer),
        lambda answer: answers.read_text(answer, "name"),
        lambda answer: answers.read_may_read(answer, "name"),
    ],
)
@pytest.mark.parametrize(
    "answer", [{}, {"data": None}, {"data": []}, {"data": {"data": 1, "metadata": {}}}, {"auth": 7}]
)
def test_an_answer_of_another_shape_is_an_outage(
    read: Callable[[Mapping[str, object]], object], answer: Mapping[str, object]
) -> None:
    """No reader guesses: what is not as Vault writes it is refused."""
    with pytest.raises(SecretStoreUnreachable):
        read(answer)


def metadata(**version: object) -> Mapping[str, object]:
    """Return the answer of a metadata read with one version."""
    whole = {"created_time": TIME, "deletion_time": "", "destroyed": False, **version}
    return {
        "data": {
            "current_version": 1,
            "created_time": TIME,
            "versions": {"1": whole},
            "custom_metadata": {"venue": "whitebit", "odd": 7},
        }
    }


def test_times_are_read_to_the_millisecond() -> None:
    """Vault's nanoseconds are cut, not rounded."""
    found = answers.read_metadata(metadata())

    assert (found.create_time_ms, found.version_time_ms) == (TIME_MS, TIME_MS)
    assert found.custom_metadata == {"venue": "whitebit"}
    assert not found.is_deleted(TIME_MS)


def test_a_version_may_be_deleted_destroyed_or_doomed() -> None:
    """A deletion that lies ahead is none yet; a destroyed version is gone at any time."""
    assert answers.read_metadata(metadata(destroyed=True)).is_deleted(0)
    doomed = answers.read_metadata(metadata(deletion_time=TIME))
    assert doomed.is_deleted(TIME_MS)
    assert not doomed.is_deleted(TIME_MS - 1)


def test_a_path_with_metadata_only_counts_as_deleted() -> None:
    """Metadata written before any version is no key."""
    answer = {"data": {"current_version": 0, "created_time": TIME, "versions": {}}}

    assert answers.read_metadata(answer).is_deleted(0)


@pytest.mark.parametrize("text", ["yesterday", "2026-11-21T10:00:00"])
def test_a_time_without_a_zone_is_refused(text: str) -> None:
    """A time that could mean two moments is no time."""
    with pytest.raises(SecretStoreUnreachable):
        answers.read_metadata(metadata(created_time=text))


@pytest.mark.parametrize(
    ("ttl", "ends", "life_ms"), [(0, None, 0), (0, TIME, 1_000), (7, TIME, 7_000)]
)
def test_a_token_in_its_last_second_still_ends(ttl: int, ends: object, life_ms: int) -> None:
    """A `ttl` of 0 means for ever only where Vault names no end."""
    answer = {"data": {"ttl": ttl, "expire_time": ends}}

    assert answers.read_lookup(SecretBytes("t"), answer).life_ms == life_ms


def test_a_secret_does_not_show() -> None:
    """The repr of a version leaves its data out."""
    answer = {
        "data": {
            "data": {"api_secret": "canary"},
            "metadata": {"version": 1, "created_time": TIME, "custom_metadata": None},
        }
    }
    assert "canary" not in repr(answers.read_version(answer))


def test_a_mount_is_kv_of_version_2_or_not() -> None:
    """Version 1, and any other engine, are told apart."""
    assert answers.read_is_kv2({"data": {"type": "kv", "options": {"version": "2"}}})
    assert not answers.read_is_kv2({"data": {"type": "kv", "options": {"version": "1"}}})
    assert not answers.read_is_kv2({"data": {"type": "cubbyhole", "options": None}})
