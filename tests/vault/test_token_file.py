from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bao import MOUNT, BaoServer
from privyseald.errors import SecretStoreForbidden
from privyseald.vault.connection import VaultAddress, VaultConnection
from privyseald.vault.token_file import TokenFile

POLICY = f'path "{MOUNT}/data/*" {{ capabilities = ["read"] }}'


@pytest.fixture
async def connection(bao: BaoServer) -> AsyncIterator[VaultConnection]:
    """A connection without a token."""
    connection = VaultConnection(VaultAddress(bao.url))
    yield connection
    await connection.close()


async def test_a_token_is_read_with_its_life(
    bao: BaoServer, connection: VaultConnection, tmp_path: Path
) -> None:
    """The file's one line is the token; Vault tells its life."""
    (tmp_path / "token").write_text(bao.token(POLICY, ttl="1h") + "\n")
    method = TokenFile(tmp_path / "token")
    assert method.has_news()

    token = await method.log_in(connection)

    assert 3_590_000 < token.life_ms <= 3_600_000
    assert token.renewable
    assert not method.owns_token
    assert not method.has_news()


async def test_a_root_token_does_not_end(
    bao: BaoServer, connection: VaultConnection, tmp_path: Path
) -> None:
    """Life 0 means for ever."""
    (tmp_path / "token").write_text(bao.root_token)

    token = await TokenFile(tmp_path / "token").log_in(connection)

    assert (token.life_ms, token.renewable) == (0, False)


async def test_a_changed_or_vanished_file_is_news(
    bao: BaoServer, connection: VaultConnection, tmp_path: Path
) -> None:
    """A file that was replaced is noticed, and so is one that is gone."""
    (tmp_path / "token").write_text(bao.root_token)
    method = TokenFile(tmp_path / "token")
    await method.log_in(connection)

    (tmp_path / "token").unlink()

    assert method.has_news()
    with pytest.raises(SecretStoreForbidden, match="can't be read"):
        await method.log_in(connection)
    assert not method.has_news()


async def test_a_token_that_vault_refuses_is_named(
    connection: VaultConnection, tmp_path: Path
) -> None:
    """A revoked or made-up token is told by its setting, not by its text."""
    (tmp_path / "token").write_text("s.made-up-canary")

    with pytest.raises(SecretStoreForbidden, match=r"vault\.token_file") as caught:
        await TokenFile(tmp_path / "token").log_in(connection)
    assert "canary" not in str(caught.value)
