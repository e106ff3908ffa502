import asyncio
import secrets
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bao import BaoServer
from privyseald.clock import SystemClock
from privyseald.errors import SecretStoreForbidden
from privyseald.vault.approle import AppRole
from privyseald.vault.backoff import RenewalTimes
from privyseald.vault.client import VaultClient
from privyseald.vault.connection import VaultAddress

TIMES = RenewalTimes(first_backoff_ms=50, longest_backoff_ms=200, look_ms=50)
POLICY = """
path "desk-keys/data/*" { capabilities = ["read", "create", "update"] }
path "desk-keys/metadata/*" { capabilities = ["read", "list", "delete"] }
"""


@pytest.fixture
def namespace(bao: BaoServer, tmp_path: Path) -> str:
    """A namespace with KV v2 at `desk-keys/` and a role whose ids are in two files."""
    name = f"desk-{secrets.token_hex(4)}"
    bao.write(f"sys/namespaces/{name}")
    bao.write(f"{name}/sys/mounts/desk-keys", type="kv", options={"version": "2"})
    bao.write(f"{name}/sys/auth/approle", type="approle")
    bao.write(f"{name}/sys/policies/acl/desk", policy=POLICY)
    role = f"{name}/auth/approle/role/desk"
    bao.write(role, token_policies=["desk"], token_ttl="2s")
    role_id = bao.root().read(f"{role}/role-id")
    assert isinstance(role_id, dict)
    (tmp_path / "role-id").write_text(role_id["data"]["role_id"])
    (tmp_path / "secret-id").write_text(bao.write(f"{role}/secret-id")["data"]["secret_id"])
    return name


def client_in(bao: BaoServer, namespace: str, folder: Path) -> VaultClient:
    """Return a client that logs in to the namespace."""
    method = AppRole(role_id_file=folder / "role-id", secret_id_file=folder / "secret-id")
    return VaultClient.connect(VaultAddress(bao.url, namespace), method, SystemClock(), TIMES)


async def test_a_namespace_is_a_vault_of_its_own(
    bao: BaoServer, namespace: str, tmp_path: Path
) -> None:
    """Login, check, write, read, list, renewal and revocation all happen in the namespace."""
    client = client_in(bao, namespace, tmp_path)
    with capture_logs() as logs:
        await client.check("desk-keys")
        await client.write("desk-keys", "keys/a", {"x": "1"}, 0)
        token = await client._session.tokens.token()
        await asyncio.sleep(2.5)
        found = await client.read("desk-keys", "keys/a")
        names = await client.list("desk-keys", "keys")
        renewed = await client._session.tokens.token()
        await client.close()

    assert (dict(found.data), names) == ({"x": "1"}, ["a"])
    assert token.text == renewed.text
    assert [log["event"] for log in logs] == ["vault_logged_in"]
    assert not await asyncio.to_thread(bao.is_alive, token.text.reveal().decode())


@pytest.mark.usefixtures("namespace")
async def test_a_role_of_a_namespace_opens_no_other(bao: BaoServer, tmp_path: Path) -> None:
    """The same ids are refused outside of their namespace."""
    client = client_in(bao, "", tmp_path)
    with pytest.raises(SecretStoreForbidden, match=r"vault\.role_id_file"):
        await client.check("desk-keys")
    await client.close()
