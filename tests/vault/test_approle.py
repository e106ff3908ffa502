from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bao import MOUNT, BaoServer
from privyseald.errors import SecretStoreForbidden
from privyseald.vault.approle import AppRole
from privyseald.vault.connection import VaultAddress, VaultConnection

POLICY = f'path "{MOUNT}/data/*" {{ capabilities = ["read"] }}'


@pytest.fixture
async def connection(bao: BaoServer) -> AsyncIterator[VaultConnection]:
    """A connection without a token."""
    connection = VaultConnection(VaultAddress(bao.url))
    yield connection
    await connection.close()


def method_of(folder: Path, role_id: str, secret_id: str, *, wrapped: bool = False) -> AppRole:
    """Return the login with these two texts."""
    (folder / "role-id").write_text(role_id + "\n")
    (folder / "secret-id").write_text(secret_id + "\n")
    return AppRole(
        role_id_file=folder / "role-id",
        secret_id_file=folder / "secret-id",
        secret_id_wrapped=wrapped,
    )


async def test_a_role_logs_in(bao: BaoServer, connection: VaultConnection, tmp_path: Path) -> None:
    """A login gives a token of the role's life, made for us alone."""
    role = bao.approle(POLICY, token_ttl="90s")
    method = method_of(tmp_path, bao.role_id(role), bao.secret_id(role))

    token = await method.log_in(connection)

    assert (token.life_ms, token.renewable) == (90_000, True)
    assert bao.is_alive(token.text.reveal().decode())
    assert method.owns_token
    assert not method.has_news()


async def test_a_wrapped_secret_id_is_unwrapped_once_and_kept(
    bao: BaoServer, connection: VaultConnection, tmp_path: Path
) -> None:
    """Later logins use the secret id that the first one unwrapped."""
    role = bao.approle(POLICY, token_ttl="90s")
    method = method_of(tmp_path, bao.role_id(role), bao.secret_id(role, "60s"), wrapped=True)

    first = await method.log_in(connection)
    second = await method.log_in(connection)

    assert first.text != second.text


async def test_a_new_wrapped_secret_id_is_taken(
    bao: BaoServer, connection: VaultConnection, tmp_path: Path
) -> None:
    """When the file changes, the new one is unwrapped."""
    role = bao.approle(POLICY, secret_id_num_uses=1)
    method = method_of(tmp_path, bao.role_id(role), bao.secret_id(role, "60s"), wrapped=True)
    await method.log_in(connection)
    with pytest.raises(SecretStoreForbidden, match="used up"):
        await method.log_in(connection)

    (tmp_path / "secret-id").write_text(bao.secret_id(role, "60s"))

    assert bao.is_alive((await method.log_in(connection)).text.reveal().decode())


async def test_a_used_wrapping_is_an_alarm(
    bao: BaoServer, connection: VaultConnection, tmp_path: Path
) -> None:
    """A wrapping that somebody else opened is named as such."""
    role = bao.approle(POLICY)
    wrapping = bao.secret_id(role, "60s")
    bao.write("sys/wrapping/unwrap", token=wrapping)

    with pytest.raises(SecretStoreForbidden, match="who took this one") as caught:
        await method_of(tmp_path, bao.role_id(role), wrapping, wrapped=True).log_in(connection)
    assert wrapping not in str(caught.value)


async def test_a_wrapping_of_something_else_is_refused(
    bao: BaoServer, connection: VaultConnection, tmp_path: Path
) -> None:
    """A token that AppRole did not wrap is not unwrapped: somebody slipped it in."""
    role = bao.approle(POLICY)
    answer = bao.root().write_data(
        "sys/wrapping/wrap", data={"secret_id": bao.secret_id(role)}, wrap_ttl="60s"
    )
    assert isinstance(answer, dict)
    wrapping = answer["wrap_info"]["token"]

    with pytest.raises(SecretStoreForbidden, match="or is none"):
        await method_of(tmp_path, bao.role_id(role), wrapping, wrapped=True).log_in(connection)


@pytest.mark.parametrize("content", ["wrong", "", "two\nlines", "x" * 9_000, None])
async def test_a_bad_secret_id_is_named_by_its_setting(
    bao: BaoServer, connection: VaultConnection, tmp_path: Path, content: str | None
) -> None:
    """A wrong, empty, odd or missing file is named by its setting, its content is not shown."""
    role = bao.approle(POLICY)
    method = method_of(tmp_path, bao.role_id(role), content or "")
    if content is None:
        (tmp_path / "secret-id").unlink()

    with pytest.raises(SecretStoreForbidden, match=r"vault\.secret_id_file") as caught:
        await method.log_in(connection)
    assert "wrong" not in str(caught.value).replace("is wrong, used", "")
