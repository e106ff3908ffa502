import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from answering_server import Reply, answering
from bao import MOUNT, BaoServer
from privyseald.clock import SystemClock
from privyseald.errors import SecretStoreForbidden, SecretStoreSealed, SecretStoreUnreachable
from privyseald.vault.backoff import RenewalTimes
from privyseald.vault.client import VaultClient
from privyseald.vault.connection import VaultAddress
from privyseald.vault.errors import PathMissing, VersionMismatch
from privyseald.vault.token_file import TokenFile

LOOKUP = Reply(200, {"data": {"ttl": 0, "expire_time": None}})
FORBIDDEN = Reply(403, {"errors": ["permission denied"]})
TIMES = RenewalTimes(first_backoff_ms=100, longest_backoff_ms=400, look_ms=50)


@asynccontextmanager
async def client_of(
    url: str, token: str, folder: Path, times: RenewalTimes = TIMES
) -> AsyncIterator[VaultClient]:
    """Yield a client that uses a token from a file."""
    (folder / "token").write_text(token + "\n")
    client = VaultClient.connect(
        VaultAddress(url), TokenFile(folder / "token"), SystemClock(), times
    )
    try:
        yield client
    finally:
        await client.close()


def read_policy(prefix: str) -> str:
    """Return a policy that allows to read keys and nothing else."""
    return f'path "{MOUNT}/data/{prefix}/*" {{ capabilities = ["read"] }}'


async def test_a_secret_is_written_read_and_deleted(
    bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """The whole life of a path: absent, written once, noted, listed, deleted."""
    path = f"{prefix}/a"
    async with client_of(bao.url, bao.root_token, tmp_path) as client:
        assert await client.list(MOUNT, prefix) == []
        with pytest.raises(PathMissing):
            await client.read(MOUNT, path)
        version, written_ms = await client.write(MOUNT, path, {"x": "1"}, 0)
        with pytest.raises(VersionMismatch):
            await client.write(MOUNT, path, {"x": "2"}, 0)
        await client.write_custom_metadata(MOUNT, path, {"state": "ENABLED"})

        found = await client.read(MOUNT, path)
        metadata = await client.read_metadata(MOUNT, path)

        assert (found.version, found.create_time_ms) == (version, written_ms) == (1, written_ms)
        assert dict(found.data) == {"x": "1"}
        assert metadata.custom_metadata == found.custom_metadata == {"state": "ENABLED"}
        assert metadata.create_time_ms == metadata.version_time_ms == written_ms
        assert await client.list(MOUNT, prefix) == ["a"]
        await client.delete(MOUNT, path)
        with pytest.raises(PathMissing):
            await client.read_metadata(MOUNT, path)


async def test_notes_leave_the_paths_settings_alone(
    bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """Custom metadata is replaced without resetting what an operator set on the path."""
    path = f"{prefix}/a"
    bao.write(f"{MOUNT}/metadata/{path}", delete_version_after="1h", max_versions=3)
    async with client_of(bao.url, bao.root_token, tmp_path) as client:
        await client.write(MOUNT, path, {"x": "1"}, 0)
        await client.write_custom_metadata(MOUNT, path, {"state": "ENABLED"})
        assert not (await client.read_metadata(MOUNT, path)).is_deleted(
            SystemClock().time_us() // 1_000
        )

    answer = bao.root().read(f"{MOUNT}/metadata/{path}")
    assert isinstance(answer, dict)
    assert answer["data"]["delete_version_after"] == "1h0m0s"
    assert answer["data"]["max_versions"] == 3


async def test_a_denial_names_what_to_grant(bao: BaoServer, prefix: str, tmp_path: Path) -> None:
    """A policy's denial tells the operator the capability and the path's pattern."""
    token = bao.token(read_policy(prefix))
    path = f"{prefix}/a"
    async with client_of(bao.url, token, tmp_path) as client:
        for call, capability, where in (
            (client.write(MOUNT, path, {}, 0), "create", f"{MOUNT}/data/{prefix}/*"),
            (client.write(MOUNT, path, {}, 1), "update", f"{MOUNT}/data/{prefix}/*"),
            (client.read_metadata(MOUNT, path), "read", f"{MOUNT}/metadata/{prefix}/*"),
            (client.list(MOUNT, prefix), "list", f"{MOUNT}/metadata/{prefix}"),
            (client.delete(MOUNT, path), "delete", f"{MOUNT}/metadata/{prefix}/*"),
            (
                client.write_custom_metadata(MOUNT, path, {}),
                "create and update",
                f"{MOUNT}/metadata/{prefix}/*",
            ),
        ):
            with pytest.raises(SecretStoreForbidden) as caught:
                await call
            assert f"'{capability}' on '{where}'" in caught.value.message
        with pytest.raises(PathMissing):
            await client.read(MOUNT, path)


async def test_check_asks_for_a_kv_mount_of_version_2(
    bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """A working mount passes, another engine and a mount out of reach are named."""
    async with client_of(bao.url, bao.token(read_policy(prefix)), tmp_path) as client:
        await client.check(MOUNT)
        with pytest.raises(SecretStoreForbidden, match="'read' on 'elsewhere/data"):
            await client.check("elsewhere")
    async with client_of(bao.url, bao.root_token, tmp_path) as client:
        with pytest.raises(SecretStoreForbidden, match=r"no KV engine of version 2"):
            await client.check("cubbyhole")


async def test_a_mount_that_is_not_there_is_no_missing_key(bao: BaoServer, tmp_path: Path) -> None:
    """A 404 for want of a secrets engine is a fault of the set-up, not an unknown key."""
    async with client_of(bao.url, bao.root_token, tmp_path) as client:
        with pytest.raises(SecretStoreForbidden, match=r"store\.url"):
            await client.read("nothing-here", "a")


async def test_a_sealed_vault_is_named_and_heals(
    frail_bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """Sealed: every call says so with a time; unsealed: the next call works, the token too."""
    path = f"{prefix}/a"
    token = frail_bao.token(read_policy(prefix))
    frail_bao.write(f"{MOUNT}/data/{path}", data={"x": "1"})
    async with client_of(frail_bao.url, token, tmp_path) as client:
        await client.read(MOUNT, path)
        await asyncio.to_thread(frail_bao.seal)
        try:
            for call in (client.read(MOUNT, path), client.check(MOUNT)):
                with pytest.raises(SecretStoreSealed) as caught:
                    await call
                assert (caught.value.retry_after_ms or 0) > 0
        finally:
            await asyncio.to_thread(frail_bao.unseal)

        assert dict((await client.read(MOUNT, path)).data) == {"x": "1"}


async def test_a_stopped_vault_is_unreachable_and_heals(
    frail_bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """Stopped: unreachable with a time, also for a login; started again: the next call works."""
    token = frail_bao.token(read_policy(prefix))
    await asyncio.to_thread(frail_bao.stop)
    async with client_of(frail_bao.url, token, tmp_path) as client:
        try:
            with pytest.raises(SecretStoreUnreachable) as caught:
                await client.read(MOUNT, f"{prefix}/a")
            assert (caught.value.retry_after_ms or 0) > 0
            with pytest.raises(SecretStoreUnreachable, match="can't be reached"):
                await client.check(MOUNT)
        finally:
            await asyncio.to_thread(frail_bao.start)
        async with asyncio.timeout(5):
            while True:
                try:
                    await client.check(MOUNT)
                except SecretStoreUnreachable:
                    await asyncio.sleep(0.05)
                else:
                    break


async def test_a_refused_token_is_replaced_once_and_the_call_repeated(tmp_path: Path) -> None:
    """After a 403 with a dead token there is one login and one more try."""
    found = Reply(200, {"data": {"keys": ["a"]}})
    with answering(LOOKUP, FORBIDDEN, FORBIDDEN, LOOKUP, found) as server:
        async with client_of(server.url, "token", tmp_path) as client:
            assert await client.list(MOUNT, "keys") == ["a"]
    paths = [path.rpartition("/")[2] for _, path, _ in server.asked]
    assert paths == ["lookup-self", "keys?list=true", "lookup-self", "lookup-self", paths[1]]


async def test_a_new_token_that_is_refused_too_is_a_denial_then_an_outage(tmp_path: Path) -> None:
    """A token that may not look itself up causes one login, not one for each denied call."""
    times = RenewalTimes(first_backoff_ms=60_000, longest_backoff_ms=60_000)
    with answering(LOOKUP, FORBIDDEN, FORBIDDEN, LOOKUP, FORBIDDEN) as server:
        async with client_of(server.url, "token", tmp_path, times) as client:
            with pytest.raises(SecretStoreForbidden):
                await client.list(MOUNT, "keys")
            asked = len(server.asked)
            with pytest.raises(SecretStoreUnreachable, match="log in again shortly"):
                await client.list(MOUNT, "keys")
    assert len(server.asked) == asked + 2


async def test_a_request_that_vault_takes_for_wrong_is_named(tmp_path: Path) -> None:
    """A 400 that is no version mismatch means that something else answers there."""
    wrong = Reply(400, {"errors": ["unsupported"]})
    with answering(LOOKUP, wrong) as server:
        async with client_of(server.url, "token", tmp_path) as client:
            with pytest.raises(SecretStoreUnreachable, match=r"vault\.address"):
                await client.read(MOUNT, "keys/a")


async def test_no_failure_tells_a_token_or_vaults_text(
    bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """Neither message, chain nor repr of a failure holds the token, or what Vault said."""
    token = bao.token(read_policy(prefix))
    async with client_of(bao.url, token, tmp_path) as client:
        with pytest.raises(SecretStoreForbidden) as caught:
            await client.delete(MOUNT, f"{prefix}/a")

    told = "".join(traceback.format_exception(caught.value)) + repr((client, caught.value))
    assert token not in told
    assert "permission denied" not in told
    assert "/v1/" not in told
