import os
import stat
from pathlib import Path

import pytest

from privyseald.config_error import ConfigInvalid
from privyseald.private_file import _is_exposed, create_private_file, read_private_file


def test_what_was_created_is_read(tmp_path: Path) -> None:
    """A created file is ours alone, whatever the umask."""
    path = tmp_path / "key"
    old = os.umask(0)
    try:
        create_private_file(path, b"content", "store.key_file")
    finally:
        os.umask(old)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_private_file(path, "store.key_file") == b"content"


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """A file that stands there stays as it is."""
    (tmp_path / "key").write_bytes(b"old")

    with pytest.raises(ConfigInvalid, match=r"^store\.key_file: .* exists"):
        create_private_file(tmp_path / "key", b"new", "store.key_file")
    assert (tmp_path / "key").read_bytes() == b"old"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """The refusal holds the command that puts it right."""
    path = tmp_path / "key"
    path.write_bytes(b"content")
    path.chmod(mode)

    with pytest.raises(ConfigInvalid, match=f"run: chmod 600 {path}"):
        read_private_file(path, "store.key_file")


def test_roots_file_may_be_read_by_our_group() -> None:
    """So Kubernetes mounts a Secret; write access, and others' access, stay refused."""
    assert not _is_exposed(0o440, 0, 1_000)
    assert _is_exposed(0o460, 0, 1_000)
    assert _is_exposed(0o444, 0, 1_000)
    assert _is_exposed(0o440, 1_000, 1_000)
    assert _is_exposed(0o440, 0, 0)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The setting and the path tell where to look."""
    with pytest.raises(ConfigInvalid, match=r"^store\.key_file: can't read .*/none"):
        read_private_file(tmp_path / "none", "store.key_file")
    with pytest.raises(ConfigInvalid, match=r"^store\.key_file: can't create"):
        create_private_file(tmp_path / "none" / "key", b"", "store.key_file")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """A path that points at something else is noticed by its size."""
    create_private_file(tmp_path / "key", bytes(70_000), "store.key_file")

    with pytest.raises(ConfigInvalid, match="wrong file"):
        read_private_file(tmp_path / "key", "store.key_file")
