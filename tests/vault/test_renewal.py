import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from answering_server import Reply, answering
from bao import MOUNT, BaoServer
from privyseald.clock import SystemClock
from privyseald.errors import SecretStoreForbidden, SecretStoreUnreachable
from privyseald.vault.approle import AppRole
from privyseald.vault.auth import AuthMethod, VaultToken
from privyseald.vault.backoff import RenewalTimes
from privyseald.vault.connection import VaultAddress, VaultConnection
from privyseald.vault.renewal import TokenRenewal
from privyseald.vault.token_file import TokenFile

TIMES = RenewalTimes(first_backoff_ms=100, longest_backoff_ms=400, look_ms=50)
POLICY = f'path "{MOUNT}/data/*" {{ capabilities = ["read"] }}'


@asynccontextmanager
async def renewing(
    url: str, method: AuthMethod, times: RenewalTimes = TIMES
) -> AsyncIterator[TokenRenewal]:
    """Yield the keeper of a token."""
    connection = VaultConnection(VaultAddress(url))
    tokens = TokenRenewal(connection, method, SystemClock(), times)
    try:
        yield tokens
    finally:
        await tokens.close()
        await connection.close()


def approle(bao: BaoServer, folder: Path, **options: object) -> AppRole:
    """Return the login of a new role."""
    role = bao.approle(POLICY, **options)
    (folder / "role-id").write_text(bao.role_id(role))
    (folder / "secret-id").write_text(bao.secret_id(role))
    return AppRole(role_id_file=folder / "role-id", secret_id_file=folder / "secret-id")


async def text_of(tokens: TokenRenewal) -> str:
    """Return the present token in clear."""
    return (await tokens.token()).text.reveal().decode()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(6):
        while not await condition():  # noqa: ASYNC110  # Vault tells nobody
            await asyncio.sleep(0.05)


async def test_all_who_wait_get_one_login(bao: BaoServer, tmp_path: Path) -> None:
    """Many first uses at once make one login."""
    async with renewing(bao.url, approle(bao, tmp_path, token_ttl="1h")) as tokens:
        with capture_logs() as logs:
            texts = await asyncio.gather(*(text_of(tokens) for _ in range(10)))
    assert len(set(texts)) == 1
    assert [log["event"] for log in logs] == ["vault_logged_in"]


async def test_a_token_lives_on_past_its_first_life(bao: BaoServer, tmp_path: Path) -> None:
    """A token of two seconds is renewed in time, and stays the same."""
    async with renewing(bao.url, approle(bao, tmp_path, token_ttl="2s")) as tokens:
        first = await text_of(tokens)
        await asyncio.sleep(3)
        assert await text_of(tokens) == first
        assert await asyncio.to_thread(bao.is_alive, first)


async def test_a_token_at_the_end_of_its_life_is_replaced_before(
    bao: BaoServer, tmp_path: Path
) -> None:
    """When Vault caps the renewal, a new login comes while the old token still works."""
    method = approle(bao, tmp_path, token_ttl="2s", token_max_ttl="2s")
    async with renewing(bao.url, method) as tokens:
        first = await text_of(tokens)

        async def replaced() -> bool:
            return await text_of(tokens) != first

        await until(replaced)
        assert await asyncio.to_thread(bao.is_alive, first)


async def test_a_batch_token_is_replaced_in_time(bao: BaoServer, tmp_path: Path) -> None:
    """A token that can't be renewed is replaced by a login, not by a failed renewal."""
    method = approle(bao, tmp_path, token_ttl="2s", token_type="batch")
    async with renewing(bao.url, method) as tokens:
        first = await text_of(tokens)

        async def replaced() -> bool:
            return await text_of(tokens) != first

        await until(replaced)


async def test_a_refused_token_is_replaced_for_all_at_once(bao: BaoServer, tmp_path: Path) -> None:
    """Many calls that were refused with one token cause one login."""
    async with renewing(bao.url, approle(bao, tmp_path, token_ttl="1h")) as tokens:
        old = await tokens.token()
        with capture_logs() as logs:
            new = await asyncio.gather(*(tokens.replace(old) for _ in range(10)))
    assert len({token.text.reveal() for token in new}) == 1
    assert new[0] is not old
    assert len(logs) == 1


async def test_logins_that_do_not_help_are_spaced(bao: BaoServer, tmp_path: Path) -> None:
    """A token refused right after its login is kept for a while."""
    times = RenewalTimes(first_backoff_ms=60_000, longest_backoff_ms=60_000)
    async with renewing(bao.url, approle(bao, tmp_path, token_ttl="1h"), times) as tokens:
        new = await tokens.replace(await tokens.token())
        assert await tokens.replace(new) is not None
        assert await tokens.replace(new) is await tokens.token()


async def test_close_revokes_the_own_token(bao: BaoServer, tmp_path: Path) -> None:
    """A token from our login ends with us, and nothing is given out any more."""
    async with renewing(bao.url, approle(bao, tmp_path, token_ttl="1h")) as tokens:
        text = await text_of(tokens)
        assert await asyncio.to_thread(bao.is_alive, text)
    assert not await asyncio.to_thread(bao.is_alive, text)
    with pytest.raises(SecretStoreUnreachable, match="closed"):
        await tokens.token()


async def test_close_leaves_a_token_from_a_file_alone(bao: BaoServer, tmp_path: Path) -> None:
    """A token that somebody gave us is not ours to revoke."""
    (tmp_path / "token").write_text(text := bao.token(POLICY))
    async with renewing(bao.url, TokenFile(tmp_path / "token")) as tokens:
        assert await text_of(tokens) == text
    assert await asyncio.to_thread(bao.is_alive, text)


async def test_a_new_token_in_the_file_is_taken(bao: BaoServer, tmp_path: Path) -> None:
    """When Vault's agent writes a new token, it is used within a moment."""
    (tmp_path / "token").write_text(bao.token(POLICY))
    async with renewing(bao.url, TokenFile(tmp_path / "token")) as tokens:
        await tokens.token()
        (tmp_path / "new").write_text(fresh := bao.token(POLICY))
        (tmp_path / "new").rename(tmp_path / "token")

        async def taken() -> bool:
            return await text_of(tokens) == fresh

        await until(taken)


async def test_a_capped_token_from_a_file_is_used_to_its_end(
    bao: BaoServer, tmp_path: Path
) -> None:
    """A token near its end stays in use while the file holds no other; then the file is named."""
    text = bao.token(POLICY, ttl="1s", explicit_max_ttl="2s")
    (tmp_path / "token").write_text(text)
    async with renewing(bao.url, TokenFile(tmp_path / "token")) as tokens:
        held = await tokens.token()
        refusals = []

        async def refused() -> bool:
            try:
                await tokens.replace(await tokens.token())
            except SecretStoreForbidden as error:
                refusals.append(error.message)
            return bool(refusals)

        await until(refused)
        assert "vault.token_file" in refusals[0]
        (tmp_path / "token").write_text(fresh := bao.token(POLICY))

        async def taken() -> bool:
            return await text_of(tokens) == fresh

        await until(taken)
    assert held.text.reveal().decode() == text


async def test_failed_logins_back_off() -> None:
    """After a failed login the next ones hear the same, and Vault is left alone."""
    sleepy = RenewalTimes(first_backoff_ms=60_000, longest_backoff_ms=60_000)
    method = _Refused()
    with answering(Reply(500)) as server:
        async with renewing(server.url, method, sleepy) as tokens:
            with capture_logs() as logs:
                for _ in range(3):
                    with pytest.raises(SecretStoreForbidden, match="told so") as caught:
                        await tokens.token()
    assert method.count == 1
    assert (caught.value.retry_after_ms or 0) > 30_000
    assert [log["event"] for log in logs] == ["vault_login_failed"]


async def test_the_task_tries_again_by_itself() -> None:
    """A login that failed is repeated with growing pauses, though nobody asks."""
    method = _Refused()
    with answering(Reply(500)) as server:
        async with renewing(server.url, method) as tokens:
            with pytest.raises(SecretStoreForbidden):
                await tokens.token()
            await asyncio.sleep(1.2)
    assert 3 <= method.count <= 7


async def test_renewal_outlasts_an_outage(tmp_path: Path) -> None:
    """While Vault is away the token is kept, and renewed as soon as Vault is back."""
    login = Reply(
        200, {"data": {"ttl": 1, "expire_time": "2030-01-01T00:00:00Z", "renewable": True}}
    )
    renewed = Reply(
        200, {"auth": {"client_token": "token", "lease_duration": 3600, "renewable": True}}
    )
    (tmp_path / "token").write_text("token")
    with answering(login, *[Reply(500)] * 4, renewed) as server:
        async with renewing(server.url, TokenFile(tmp_path / "token")) as tokens:
            await tokens.token()

            async def is_renewed() -> bool:
                return (await tokens.token()).life_ms == 3_600_000

            await until(is_renewed)
    paths = [path.rpartition("/")[2] for _, path, _ in server.asked]
    assert paths == ["lookup-self", "renew-self", *["lookup-self"] * 3, "renew-self"]


async def test_no_log_or_repr_shows_the_token(bao: BaoServer, tmp_path: Path) -> None:
    """Neither what is logged nor the repr of a token shows it."""
    with capture_logs() as logs:
        async with renewing(bao.url, approle(bao, tmp_path, token_ttl="1h")) as tokens:
            token = await tokens.token()
    assert token.text.reveal().decode() not in repr((logs, token, tokens))


class _Refused:
    """A way to log in that never works."""

    owns_token = True

    def __init__(self) -> None:
        self.count = 0

    def has_news(self) -> bool:
        return False

    async def log_in(self, connection: VaultConnection) -> VaultToken:
        self.count += 1
        raise SecretStoreForbidden("told so")
