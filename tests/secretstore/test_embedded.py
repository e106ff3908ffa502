import asyncio
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes import FakeClock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import CredentialMalformed, SecretStoreUnreachable
from privyseald.key import KeyState
from privyseald.secretstore.embedded import EmbeddedStore
from privyseald.secretstore.store_key import create_key_file
from secret_store_home import CANARY, hmac_document, reservation


@asynccontextmanager
async def opened(folder: Path, **options: Path) -> AsyncIterator[EmbeddedStore]:
    """Yield the store of a folder, by default under its key file."""
    if not options:
        options = {"key_file": folder / "store.key"}
        if not options["key_file"].exists():
            create_key_file(options["key_file"])
    store = EmbeddedStore.open_path(folder / "store.db", clock=FakeClock(), **options)
    try:
        yield store
    finally:
        await store.close()


def edit(folder: Path, statement: str, *values: object) -> None:
    """Change the closed store's file as an intruder would."""
    with sqlite3.connect(folder / "store.db") as connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


def bytes_in(folder: Path) -> bytes:
    """Return what all files of a folder hold."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


def modes_in(folder: Path) -> dict[str, int]:
    """Return the mode of each file of a folder."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_keys_outlive_the_process(tmp_path: Path) -> None:
    """A store opened again holds what was written, reservations too."""
    async with opened(tmp_path) as store:
        created = await store.create("key-1", hmac_document())
        await store.create("key-2", reservation())
    async with opened(tmp_path) as store:
        assert (await store.open("key-1")).key == created
        assert (await store.get("key-2")).state is KeyState.CREATING


async def test_times_come_from_the_clock(tmp_path: Path) -> None:
    """Creation and change carry the injected time."""
    create_key_file(tmp_path / "store.key")
    clock = FakeClock()
    store = EmbeddedStore.open_path(
        tmp_path / "store.db", key_file=tmp_path / "store.key", clock=clock
    )
    created = await store.create("key-1", reservation())
    clock.advance(5)
    completed = await store.complete("key-1", hmac_document(request_id="request-1"))
    await store.close()

    assert created.create_time_ms == created.update_time_ms == clock.time_us() // 1_000 - 5
    assert completed.create_time_ms == created.create_time_ms
    assert completed.update_time_ms == clock.time_us() // 1_000


async def test_the_file_shows_no_secret(tmp_path: Path) -> None:
    """Neither a live, nor a changed, nor a deleted secret stands in any file of the store."""
    async with opened(tmp_path) as store:
        await store.create("key-1", hmac_document())
        await store.set_state("key-1", KeyState.DISABLED)
        await store.create("key-2", hmac_document("gone-" + CANARY))
        await store.delete("key-2")
        content = bytes_in(tmp_path)

    assert CANARY.encode() not in content
    assert b"key-2" not in content
    assert b"public-key-1" in content


async def test_the_files_are_ours_alone(tmp_path: Path) -> None:
    """Store, lock and key file have mode 0600, also a store that was open to others."""
    async with opened(tmp_path):
        pass
    (tmp_path / "store.db").chmod(0o666)
    async with opened(tmp_path):
        modes = modes_in(tmp_path)

    assert modes == {"store.db": 0o600, "store.db.lock": 0o600, "store.key": 0o600}


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """The one that comes second hears which file is locked; the first is not disturbed."""
    program = (
        "from pathlib import Path; import sys\n"
        "from privyseald.clock import SystemClock\n"
        "from privyseald.secretstore.embedded import EmbeddedStore\n"
        "folder = Path(sys.argv[1])\n"
        "EmbeddedStore.open_path(folder / 'store.db', key_file=folder / 'store.key',"
        " clock=SystemClock())\n"
    )
    async with opened(tmp_path) as store:
        second = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", program, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        await store.create("key-1", hmac_document())

    assert second.returncode != 0
    assert f"in use by another process, which holds {tmp_path}/store.db.lock" in second.stderr


async def test_a_second_open_in_one_process_is_refused(tmp_path: Path) -> None:
    """The lock holds within the process too, and is free again after `close`."""
    async with opened(tmp_path):
        with pytest.raises(ConfigInvalid, match=r"store\.db\.lock"):
            async with opened(tmp_path):
                pass
    async with opened(tmp_path) as store:
        await store.check()


async def test_the_wrong_key_file_is_found_at_open(tmp_path: Path) -> None:
    """Another key opens nothing, and says so before any key is asked for."""
    async with opened(tmp_path):
        pass
    create_key_file(tmp_path / "other.key")

    with pytest.raises(ConfigInvalid, match=r"other\.key is not what .*store\.db was made with"):
        async with opened(tmp_path, key_file=tmp_path / "other.key"):
            pass
    async with opened(tmp_path):
        pass


async def test_a_passphrase_opens_what_it_made(tmp_path: Path) -> None:
    """A passphrase works with and without a newline at its end; another one is refused."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n")
    passphrase.chmod(0o600)
    async with opened(tmp_path, passphrase_file=passphrase) as store:
        await store.create("key-1", hmac_document())
    passphrase.write_text("correct horse battery")
    async with opened(tmp_path, passphrase_file=passphrase) as store:
        await store.open("key-1")
    passphrase.write_text("wrong horse battery")
    with pytest.raises(ConfigInvalid, match="passphrase is not what") as caught:
        async with opened(tmp_path, passphrase_file=passphrase):
            pass
    assert "horse" not in str(caught.value)


async def test_key_file_and_passphrase_are_not_mixed_up(tmp_path: Path) -> None:
    """A store made with one kind asks for that kind by its setting."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n")
    passphrase.chmod(0o600)
    async with opened(tmp_path):
        pass
    with pytest.raises(ConfigInvalid, match=r"^store\.key_file: .* was made with one"):
        async with opened(tmp_path, passphrase_file=passphrase):
            pass
    (tmp_path / "store.db").unlink()
    async with opened(tmp_path, passphrase_file=passphrase):
        pass
    with pytest.raises(ConfigInvalid, match=r"^store\.passphrase_file: .* was made with one"):
        async with opened(tmp_path):
            pass


async def test_exactly_one_source_of_the_key(tmp_path: Path) -> None:
    """Both or none of the two files is a mistake in the config."""
    with pytest.raises(ConfigInvalid, match="exactly one"):
        EmbeddedStore.open_path(tmp_path / "store.db", clock=FakeClock())
    with pytest.raises(ConfigInvalid, match="exactly one"):
        async with opened(tmp_path, key_file=tmp_path / "a", passphrase_file=tmp_path / "b"):
            pass


async def test_weak_keys_are_refused(tmp_path: Path) -> None:
    """A key file of another length and a short passphrase make no store."""
    for name, setting in (("key_file", "exactly 32"), ("passphrase_file", "longer passphrase")):
        path = tmp_path / name
        path.write_bytes(b"short")
        path.chmod(0o600)
        with pytest.raises(ConfigInvalid, match=setting):
            async with opened(tmp_path, **{name: path}):
                pass


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE record SET facts = replace(facts, 'whitebit', ?)", "nebulaex"),
        ("UPDATE record SET state = ?", "ENABLED"),
        ("UPDATE record SET version = ?", 9),
        ("UPDATE record SET update_time_ms = ?", 9),
        ("UPDATE record SET create_time_ms = ?", 9),
        ("UPDATE record SET key_id = ?", "key-9"),
    ],
)
async def test_an_edit_of_the_facts_is_found(tmp_path: Path, statement: str, value: object) -> None:
    """Whoever edits a public fact in the file stops the key, in `get`, `list` and `open`."""
    async with opened(tmp_path) as store:
        await store.create("key-1", hmac_document(state=KeyState.DISABLED))
    edit(tmp_path, statement, value)
    key_id = "key-9" if value == "key-9" else "key-1"

    async with opened(tmp_path) as store:
        for call in (store.get(key_id), store.open(key_id), store.list("", 5)):
            with pytest.raises(CredentialMalformed, match="from a backup, or delete"):
                await call
        await store.delete(key_id)


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(64)])
async def test_an_edit_of_the_sealed_part_is_found(tmp_path: Path, sealed: bytes) -> None:
    """Damage to what is sealed is found when the key is opened or changed."""
    async with opened(tmp_path) as store:
        await store.create("key-1", hmac_document())
    edit(tmp_path, "UPDATE record SET sealed = ?", sealed)

    async with opened(tmp_path) as store:
        for call in (store.open("key-1"), store.set_state("key-1", KeyState.DISABLED)):
            with pytest.raises(CredentialMalformed):
                await call


async def test_a_record_put_in_anothers_place_is_found(tmp_path: Path) -> None:
    """One key's sealed part does not open under another key's id."""
    async with opened(tmp_path) as store:
        await store.create("key-1", hmac_document())
        await store.create("key-2", hmac_document("another-secret"))
    edit(
        tmp_path,
        "UPDATE record SET sealed = (SELECT sealed FROM record WHERE key_id = ?)"
        " WHERE key_id = 'key-1'",
        "key-2",
    )

    async with opened(tmp_path) as store:
        with pytest.raises(CredentialMalformed):
            await store.open("key-1")


@pytest.mark.parametrize(
    "kdf",
    [
        b"scrypt:1",
        b"scrypt:3:8:1:00",
        b"scrypt:1073741824:8:1:00",
        b"scrypt:2:900:1:00",
        b"scrypt:2:8:900:00",
        b"\xff",
    ],
)
async def test_an_edited_passphrase_setting_is_found(tmp_path: Path, kdf: bytes) -> None:
    """Nobody lowers the cost of the passphrase, or raises it without bound, in the file."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n")
    passphrase.chmod(0o600)
    async with opened(tmp_path, passphrase_file=passphrase):
        pass
    edit(tmp_path, "UPDATE setting SET value = ? WHERE name = 'kdf'", kdf)

    with pytest.raises(ConfigInvalid, match="is not what"):
        async with opened(tmp_path, passphrase_file=passphrase):
            pass


async def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """A file of something else is named, and left as it is."""
    (tmp_path / "store.db").write_bytes(b"something else " * 100)

    with pytest.raises(ConfigInvalid, match="can't be opened as a Privyseal store"):
        async with opened(tmp_path):
            pass
    assert (tmp_path / "store.db").read_bytes().startswith(b"something else")


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error says which path can't be made, and no file appears."""
    with pytest.raises(ConfigInvalid, match=r"^store\.url: can't create"):
        EmbeddedStore.open_path(
            tmp_path / "none" / "store.db", key_file=tmp_path / "key", clock=FakeClock()
        )


async def test_a_failing_disk_is_an_outage(tmp_path: Path) -> None:
    """A fault of the file while the store runs is unreachable, with a time to try again."""
    async with opened(tmp_path) as store:
        await store.create("key-1", hmac_document())
        await store._run(lambda: store._file._connection.execute("DROP TABLE record"))
        with pytest.raises(SecretStoreUnreachable, match="disk") as caught:
            await store.get("key-1")
    assert caught.value.retry_after_ms


async def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    """A write that fails is rolled back, and the next one works."""
    async with opened(tmp_path) as store:
        with pytest.raises(sqlite3.IntegrityError):
            store._file.put_settings(kdf=b"again")
        await store.create("key-1", hmac_document())
