from pathlib import Path

import pytest

from privyseald.config_error import ConfigInvalid
from privyseald.holds.hold import Hold, Scope, ScopeKind
from privyseald.holds.hold_file import HoldFile
from privyseald.holds.known_holds import KnownHolds

KNOWN = KnownHolds().with_hold(Hold("a", Scope(ScopeKind.KEY, "mm-1"), "runaway", "operator", 1))


def test_what_is_written_is_there_after_a_restart(tmp_path: Path) -> None:
    """The file is ours alone, and nothing else is left beside it."""
    path = tmp_path / "holds.json"
    first = HoldFile.open_path(path)
    assert KnownHolds() == first.known
    first.write(KNOWN)

    assert (KNOWN, KNOWN) == (first.known, HoldFile.open_path(path).known)
    assert (0o600, ["holds.json"]) == (
        path.stat().st_mode & 0o777,
        [each.name for each in tmp_path.iterdir()],
    )


def test_a_file_that_is_no_list_of_holds_stops_the_start(tmp_path: Path) -> None:
    """What may have been a hold is not thrown away by a program."""
    path = tmp_path / "holds.json"
    path.write_text('{"holds": {')

    with pytest.raises(ConfigInvalid, match=r"holds\.path: .*holds\.json is no list of holds"):
        HoldFile.open_path(path)
    assert '{"holds": {' == path.read_text()


@pytest.mark.parametrize("path", ["nowhere/holds.json", "."])
def test_a_place_that_can_not_be_written_stops_the_start(tmp_path: Path, path: str) -> None:
    """It is told at the start, not at the first hold."""
    with pytest.raises(ConfigInvalid, match=r"holds\.path: .* can't be read and written"):
        HoldFile.open_path(tmp_path / path)


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """Whole or not at all: where the new file can't come to its place, it goes."""
    path = tmp_path / "holds.json"
    file = HoldFile.open_path(path)
    path.unlink()
    path.mkdir()

    with pytest.raises(OSError, match="directory"):
        file.write(KNOWN)
    assert (KnownHolds(), ["holds.json"]) == (
        file.known,
        [each.name for each in tmp_path.iterdir()],
    )


def test_a_start_leaves_the_file_of_another_worker_alone(tmp_path: Path) -> None:
    """Whoever shares it may be about to write more."""
    path = tmp_path / "holds.json"
    HoldFile.open_path(path).write(KNOWN)
    before = path.stat()

    assert KNOWN == HoldFile.open_path(path).known
    assert before == path.stat()


def test_a_directory_that_can_not_be_written_stops_the_start() -> None:
    """Also where the file is there: the next hold could not be kept."""
    with pytest.raises(ConfigInvalid, match="can't be read and written"):
        HoldFile.open_path(Path("/proc/self/environ"))
