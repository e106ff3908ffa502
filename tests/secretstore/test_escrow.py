import asyncio
import base64
import fcntl
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fakes import NOW_MS, FakeClock, FakeStore
from privyseald.config_error import ConfigInvalid
from privyseald.errors import CredentialMalformed, EscrowUnavailable
from privyseald.key import KeyState
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.escrow import Escrow
from privyseald.secretstore.escrow_record import (
    EscrowRecord,
    RecordBroken,
    read_escrow_record,
    seal_document,
)
from privyseald.signing.sealed_box import BoxBroken, OpeningKey, generate_opening_key
from privyseald.signing.secret import SecretBytes
from secret_store_home import CANARY, hmac_document

ID = "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11"


@pytest.fixture
def store() -> FakeStore:
    """The store that keeps the private half."""
    return FakeStore()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the escrow is to be."""
    return tmp_path / "state" / "escrow"


def opened(folder: Path) -> Escrow:
    """Return the escrow, as a new process would open it."""
    return Escrow.open_path(folder, FakeClock())


async def sealed(escrow: Escrow, store: FakeStore, key_id: str = "key-1") -> Path:
    """Seal a document into escrow, and return its file."""
    place = await escrow.take_place(store, key_id, ID, "attempt")
    path, _ = await escrow.seal(place, hmac_document(request_id=ID), 1)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of the directory."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def modes(folder: Path) -> dict[str, int]:
    """Return the modes of the directory's files by their kinds, and its own."""
    paths = {".": folder, **{file.suffix: file for file in folder.iterdir()}}
    return {name: stat.S_IMODE(path.stat().st_mode) for name, path in paths.items()}


def erase(folder: Path) -> None:
    """Do what unmounting the disk does."""
    (folder / "lock").unlink()
    folder.rmdir()


def a_record(document: KeyDocument | None = None) -> tuple[EscrowRecord, OpeningKey]:
    """Return a record, and the key that opens it."""
    key = OpeningKey(generate_opening_key())
    document = document or hmac_document(request_id=ID)
    record = seal_document(key.sealing_key, "key-1", document, version=3, time_ms=NOW_MS)
    return record, key


def edited(record: EscrowRecord, **changes: object) -> bytes:
    """Return the file of a record with another line in clear."""
    header = json.dumps({**json.loads(record.header), **changes}).encode()
    return header + b"\n" + base64.b64encode(record.box) + b"\n"


def test_a_record_gives_back_the_whole_document() -> None:
    """What is sealed and read again is the same document, labels and public id with it."""
    record, key = a_record()
    document = read_escrow_record(record.to_bytes()).open(key)

    assert replace(hmac_document(request_id=ID), public_id="public-key-1") == document
    assert (KeyState.ESCROWED, "public-key-1", 3, NOW_MS) == (
        record.key.state,
        record.key.public_id,
        record.key.version,
        record.key.update_time_ms,
    )


def test_what_is_no_key_is_sealed_too() -> None:
    """A secret that no signer takes is kept for somebody to look at, not lost."""
    record, key = a_record(hmac_document(CANARY + "\n", request_id=ID))

    assert SecretBytes(CANARY + "\n") == record.open(key).material


@pytest.mark.parametrize(
    "changes",
    [
        {"key_id": "key-2"},
        {"request_id": "another"},
        {"version": 4},
        {"sealed_to": "another"},
        {"facts": {"venue": "kiiex", "labels": {}}},
    ],
)
def test_a_changed_line_in_clear_opens_nothing(changes: dict[str, object]) -> None:
    """Key id, request, venue and all else that stands in clear is bound to the seal."""
    record, key = a_record()
    with pytest.raises(BoxBroken):
        read_escrow_record(edited(record, **changes)).open(key)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "2"},
        {"key_id": "../key"},
        {"key_id": 7},
        {"request_id": 7},
        {"version": "x"},
        {"facts": {"venue": 7, "labels": {}}},
        {"facts": {"labels": {"desk": 7}}},
        {"facts": {"labels": []}},
        {"facts": {"labels": {}, "other": ""}},
        {"facts": []},
    ],
)
def test_a_line_in_clear_that_makes_no_sense_is_no_record(changes: dict[str, object]) -> None:
    """A header of another form is refused before anything is shown of it."""
    record, _ = a_record()
    with pytest.raises(RecordBroken):
        read_escrow_record(edited(record, **changes))


def test_a_cut_record_is_no_record_at_any_length() -> None:
    """Of a file that was cut nothing is believed, wherever it was cut."""
    content = a_record()[0].to_bytes()
    for length in range(len(content)):
        with pytest.raises(RecordBroken):
            read_escrow_record(content[:length])
    assert read_escrow_record(content + bytes(100)).key_id == "key-1"


def test_a_record_with_an_empty_box_is_no_record() -> None:
    """A header alone is none."""
    with pytest.raises(RecordBroken):
        read_escrow_record(a_record()[0].header + b"\n\n")


@pytest.mark.parametrize("plain", [b"no JSON", b'{"venue": 7}', b"{}"])
def test_a_box_of_something_else_is_refused(plain: bytes) -> None:
    """Whoever seals something else to the public key gets no further than a refusal."""
    record, key = a_record()
    box = key.sealing_key.seal(plain, b"privyseal escrow record 1\n" + record.header)
    with pytest.raises((BoxBroken, CredentialMalformed)):
        replace(record, box=box).open(key)


async def test_a_record_outlives_its_process(folder: Path, store: FakeStore) -> None:
    """What was sealed is there when the directory is opened again, and opens."""
    path = await sealed(opened(folder), store)
    again = opened(folder)
    ((found, record),) = again.records()

    assert path == found
    assert hmac_document().material == record.open(await again.opening_key(store)).material
    assert record == again.find("key-1")
    assert (record, "") == again.find_request("key-1", ID)
    assert (None, None) == (again.find("key-2"), again.find_request("key-1", "another"))


async def test_nothing_shows_the_secret(folder: Path, store: FakeStore) -> None:
    """No file of the directory holds the secret in clear, hex or base64, nor does a repr."""
    escrow = opened(folder)
    path = await sealed(escrow, store)
    raw = CANARY.encode()
    forms = [raw, raw.hex().encode(), *(base64.b64encode(b" " * n + raw)[8:-8] for n in range(3))]
    content = b"".join(contents(folder).values())

    assert [] == [form for form in forms if form in content]
    assert CANARY not in repr((escrow, escrow.records(), path))


async def test_files_are_for_us_alone(folder: Path, store: FakeStore) -> None:
    """The directory has mode 0700, all that is in it 0600, also under a loose umask."""
    before = os.umask(0)
    try:
        escrow = opened(folder)
        await sealed(escrow, store)
        await escrow.take_place(store, "key-2", ID, "attempt")
    finally:
        os.umask(before)

    expected = {".": 0o700, "": 0o600, ".record": 0o600, ".place": 0o600}
    assert expected == modes(folder)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o770, 0o777])
def test_a_directory_that_others_may_enter_is_refused(folder: Path, mode: int) -> None:
    """A directory with looser rights is not used, and the refusal says what to run."""
    folder.mkdir(parents=True)
    folder.chmod(mode)
    with pytest.raises(ConfigInvalid, match=f"escrow.path: .* run: chmod 700 {folder}"):
        opened(folder)


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    """The refusal names the setting and what to give."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigInvalid, match=r"escrow.path: .* can't be made and written"):
        opened(tmp_path / "file")


async def test_a_directory_that_is_gone_is_told_by_name(folder: Path, store: FakeStore) -> None:
    """A disk that was unmounted is found before a venue is asked."""
    escrow = opened(folder)
    erase(folder)
    with pytest.raises(EscrowUnavailable, match="No such file or directory"):
        await escrow.take_place(store, "key-1", ID, "attempt")


async def test_a_key_in_the_store_that_is_none_is_named(folder: Path, store: FakeStore) -> None:
    """A private half that an operator edited stops orders, by the field's name."""
    store._own_keys["escrow"] = CANARY.encode()
    with pytest.raises(CredentialMalformed, match="'private_key' must be 64 hex digits") as caught:
        await opened(folder).take_place(store, "key-1", ID, "attempt")

    assert CANARY not in str(caught.value)


async def test_a_removed_record_is_gone(folder: Path, store: FakeStore) -> None:
    """Removing erases the file; once more, or by another process before us, is no error."""
    escrow = opened(folder)
    path = await sealed(escrow, store)
    other = opened(folder)
    await escrow.remove(path)
    await escrow.remove(path)

    assert (None, None) == (other.find("key-1"), other.find_request("key-1", ID))
    other.refresh()
    assert () == other.records()


async def test_a_file_that_can_not_be_removed_does_no_harm(folder: Path, store: FakeStore) -> None:
    """A record that stays against our will is found by the next look, and stands for no key."""
    escrow = opened(folder)
    path = await sealed(escrow, store)
    content = path.read_bytes()
    path.unlink()
    path.mkdir()
    await escrow.remove(path)
    path.rmdir()
    path.write_bytes(content)

    assert None is escrow.find("key-1")
    escrow.refresh()
    assert "key-1" == getattr(escrow.find("key-1"), "key_id", "")


async def test_a_damaged_file_is_named_and_left(folder: Path, store: FakeStore) -> None:
    """What should be a record and is none is kept for a look, and hides no other."""
    escrow = opened(folder)
    path = await sealed(escrow, store)
    damaged = path.with_name("key-2.x.y.record")
    damaged.write_bytes(path.read_bytes()[:50])
    escrow.refresh()

    assert ((damaged.name,), 1) == (escrow.unread(), len(escrow.records()))
    assert damaged.exists()


async def test_a_directory_that_can_not_be_read_whole_stops_no_start(
    folder: Path, store: FakeStore
) -> None:
    """A file that can't be opened is logged; the service starts, and the rest is there."""
    escrow = opened(folder)
    await sealed(escrow, store)
    (folder / "a.b.c.place").mkdir()
    with capture_logs() as logs:
        again = opened(folder)

    assert ["escrow directory not read whole"] == [log["event"] for log in logs]
    assert 1 == len(again.records())


async def test_a_place_is_given_back(folder: Path, store: FakeStore) -> None:
    """A place that nothing came for leaves no file; twice the same one is refused."""
    escrow = opened(folder)
    place = await escrow.take_place(store, "key-1", ID, "attempt")
    with pytest.raises(EscrowUnavailable, match="File exists"):
        await escrow.take_place(store, "key-1", ID, "attempt")
    await escrow.leave(place)

    assert ["lock"] == list(contents(folder))


async def test_what_was_abandoned_is_remembered_until_it_is_settled(
    folder: Path, store: FakeStore
) -> None:
    """An abandoned order is known in the next life as well, and forgotten on purpose alone."""
    escrow = opened(folder)
    await escrow.abandon(await escrow.take_place(store, "key.1", ID, "attempt"))
    again = opened(folder)

    assert (True, False) == (again.is_abandoned("key.1", ID), again.is_abandoned("key", ID))
    assert (("key.1", ID),) == escrow.abandoned() == again.abandoned()
    await again.forget_abandoned("key.1", ID)
    assert () == opened(folder).abandoned()


async def test_a_record_that_was_not_renamed_yet_is_adopted(folder: Path, store: FakeStore) -> None:
    """A crash between the write and the rename loses nothing: the place holds a whole record."""
    path = await sealed(opened(folder), store)
    content = path.read_bytes()
    path.unlink()
    path.with_suffix(".place").write_bytes(content + bytes(16_384 - len(content)))

    again = opened(folder)

    assert [path] == [found for found, _ in again.records()]
    assert () == again.abandoned()


_OTHER_PROCESS = """
import sys
from pathlib import Path
from fakes import FakeClock
from privyseald.secretstore.escrow import Escrow
escrow = Escrow.open_path(Path(sys.argv[1]), FakeClock())
print(len(escrow.records()), len(escrow.abandoned()), escrow._directory.try_lock())
"""


def other_process(folder: Path) -> str:
    """Return what another process sees: records, abandoned places, whether it has the lock."""
    done = subprocess.run(
        [sys.executable, "-c", _OTHER_PROCESS, str(folder)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout.strip()


async def test_two_processes_share_a_directory(folder: Path, store: FakeStore) -> None:
    """Another process sees the records, leaves a place alone whose owner lives, and waits while
    records are moved.
    """
    escrow = opened(folder)
    await sealed(escrow, store)
    place = await escrow.take_place(store, "key-2", ID, "attempt")
    async with escrow.locked():
        assert "1 0 False" == other_process(folder)
    assert "1 0 True" == other_process(folder)

    path, _ = await escrow.seal(place, hmac_document(request_id=ID), 1)
    assert path.exists()


async def test_what_another_process_does_is_heard_at_once(folder: Path, store: FakeStore) -> None:
    """A retry may come to any process: each knows the records and the ends of the others."""
    first, second = opened(folder), opened(folder)
    path = await sealed(first, store)
    assert (path, None) == (*second.paths_of("key-1"), second.find("key-2"))
    assert "key-1" == second.records()[0][1].key_id
    found = second.find_request("key-1", ID)
    assert found is not None
    await first.abandon(await first.take_place(store, "key-2", ID, "attempt"))
    assert second.is_abandoned("key-2", ID)

    await second.remove(path)
    await second.forget_abandoned("key-2", ID)
    assert (None, ()) == (first.find("key-1"), first.records())
    assert not first.is_abandoned("key-2", ID)
    await first.forget_abandoned("key-2", ID)


async def test_a_sweep_leaves_a_file_alone_that_got_another_name(
    folder: Path, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts, sees a place and waits long for its turn at it empties no record."""
    escrow = opened(folder)
    place = await escrow.take_place(store, "key-1", ID, "attempt")
    document = hmac_document(request_id=ID)
    record = seal_document(place.sealing_key, "key-1", document, version=1, time_ms=NOW_MS)
    flock = fcntl.flock

    def slowly(file: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        escrow._directory.fill(place.place, record)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", slowly)
    again = opened(folder)

    assert (1, ()) == (len(again.records()), again.abandoned())
    assert record.to_bytes() == again.records()[0][0].read_bytes()


async def test_a_place_that_a_sweep_took_for_dead_is_refused(
    folder: Path, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a new file and its lock another process may start: then no venue is asked."""
    escrow = opened(folder)
    flock = fcntl.flock

    def late(file: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        opened(folder).close()
        flock(file, operation)

    await escrow.opening_key(store)
    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(EscrowUnavailable, match="No such file"):
        await escrow.take_place(store, "key-1", ID, "attempt")

    assert ({"lock"}, ()) == (set(contents(folder)), opened(folder).abandoned())
    await escrow.leave(await escrow.take_place(store, "key-1", ID, "attempt"))


async def test_a_new_file_without_an_owner_is_swept(folder: Path) -> None:
    """A process killed before its place had a name leaves nothing behind for good."""
    escrow = opened(folder)
    left = folder / f"key-1.{ID}.attempt.new"
    left.write_bytes(bytes(100))
    held = folder / f"key-2.{ID}.attempt.new"
    with held.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert () == opened(folder).abandoned()
    assert (False, True) == (left.exists(), held.exists())
    escrow.close()


async def test_the_lock_is_waited_for(folder: Path) -> None:
    """Two escrows of one directory, in one process or in two, take turns."""
    first, second = opened(folder), opened(folder)
    turns: list[str] = []

    async def wait() -> None:
        async with second.locked():
            turns.append("second")

    async with first.locked():
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.05)
        turns.append("first")
    await waiting
    assert ["first", "second"] == turns
    second.close()
    assert first._directory.try_lock()
