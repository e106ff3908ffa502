"""What the shipped policies allow, and that they allow no more, asked of a real server."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hvac
import pytest
import requests
from hvac.exceptions import Forbidden

from bao import MOUNT, TRANSIT, BaoServer
from privyseald.audit.checkpoint_key import CheckpointKey, generate_checkpoint_key
from privyseald.errors import KeyUnknown, SecretStoreForbidden
from privyseald.key import KeyState
from privyseald.secretstore.own_sealing_key import own_sealing_key
from secret_store_home import VaultHome, hmac_document, store_with
from vault_policies import FOLDER, policy

Act = Callable[[hvac.Client, str], Any]

READ: dict[str, Act] = {
    "read": lambda vault, path: vault.read(f"{MOUNT}/data/{path}"),
    "read metadata": lambda vault, path: vault.read(f"{MOUNT}/metadata/{path}"),
}
WRITE: dict[str, Act] = {
    "write": lambda vault, path: vault.write_data(f"{MOUNT}/data/{path}", data={"data": {}}),
    "note": lambda vault, path: vault.write_data(f"{MOUNT}/metadata/{path}", data={}),
    "delete": lambda vault, path: vault.delete(f"{MOUNT}/metadata/{path}"),
    "destroy": lambda vault, path: vault.write_data(
        f"{MOUNT}/destroy/{path}", data={"versions": [1]}
    ),
}
NEVER: dict[str, Act] = {
    "delete version": lambda vault, path: vault.delete(f"{MOUNT}/data/{path}"),
    "undelete": lambda vault, path: vault.write_data(
        f"{MOUNT}/undelete/{path}", data={"versions": [1]}
    ),
    "list the mount": lambda vault, _: vault.list(f"{MOUNT}/metadata"),
    "configure": lambda vault, _: vault.write_data(f"{MOUNT}/config", data={"max_versions": 1}),
    "mounts": lambda vault, _: vault.read("sys/mounts"),
    "policies": lambda vault, _: vault.read("sys/policies/acl/default"),
    "new policy": lambda vault, _: vault.write_data("sys/policies/acl/mine", data={"policy": ""}),
    "seal": lambda vault, _: vault.write_data("sys/seal", data={}),
    "new token": lambda vault, _: vault.write_data("auth/token/create", data={}),
    "roles": lambda vault, _: vault.list("auth/approle/role"),
    "transit": lambda vault, _: vault.list(f"{TRANSIT}/keys"),
}


def client(bao: BaoServer, name: str, prefix: str) -> hvac.Client:
    """Return a client with a shipped policy."""
    session = requests.Session()
    session.trust_env = False
    return hvac.Client(bao.url, token=bao.token(policy(name, prefix)), session=session)


@pytest.mark.parametrize("act", [*READ.values(), *WRITE.values()], ids=[*READ, *WRITE])
@pytest.mark.parametrize("name", ["service", "custodian"])
@pytest.mark.parametrize("place", ["elsewhere/key-1", "{prefix}x/key-1", "key-1"])
def test_nothing_outside_the_prefix(
    bao: BaoServer, prefix: str, act: Act, name: str, place: str
) -> None:
    """Neither policy lets anything be read, written or deleted beside its folder."""
    path = place.format(prefix=prefix)
    bao.write(f"{MOUNT}/data/{path}", data={"api_secret": "x"})

    with pytest.raises(Forbidden):
        act(client(bao, name, prefix), path)


@pytest.mark.parametrize("act", NEVER.values(), ids=NEVER)
@pytest.mark.parametrize("name", ["service", "custodian"])
def test_what_neither_may(bao: BaoServer, prefix: str, act: Act, name: str) -> None:
    """Neither may hide versions, list other folders, change engines, policies or tokens."""
    bao.write(f"{MOUNT}/data/{prefix}/key-1", data={"api_secret": "x"})

    with pytest.raises(Forbidden):
        act(client(bao, name, prefix), f"{prefix}/key-1")


@pytest.mark.parametrize("act", WRITE.values(), ids=WRITE)
def test_the_service_changes_nothing(bao: BaoServer, prefix: str, act: Act) -> None:
    """A server that only signs can neither write nor delete a key, also a new one."""
    bao.write(f"{MOUNT}/data/{prefix}/key-1", data={"api_secret": "x"})
    vault = client(bao, "service", prefix)

    for path in (f"{prefix}/key-1", f"{prefix}/new"):
        with pytest.raises(Forbidden):
            act(vault, path)


def test_the_service_does_not_read_the_custodians_own_keys(bao: BaoServer, prefix: str) -> None:
    """What opens sealed imports and escrow stays with the custodian's server."""
    path = f"{MOUNT}/data/{prefix}/_privyseal-escrow"
    bao.write(path, data={"private_key": "x"})

    with pytest.raises(Forbidden):
        client(bao, "service", prefix).read(path)
    assert client(bao, "custodian", prefix).read(path)


async def test_every_server_makes_and_reads_what_seals_the_state(
    bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """The first server makes it, under whichever policy; none that only signs replaces it."""
    keys = []
    for name in ("service", "custodian", "service"):
        store = store_with(bao.url, bao.token(policy(name, prefix)), prefix, tmp_path)
        keys.append(await own_sealing_key(store, "state"))
        await store.close()

    assert [keys[0]] * 3 == keys
    vault = client(bao, "service", prefix)
    with pytest.raises(Forbidden):
        vault.write_data(f"{MOUNT}/data/{prefix}/_privyseal-state", data={"data": {}})


async def test_every_server_makes_and_reads_what_signs_the_audit_log(
    bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """The same of the checkpoints' key, under whichever policy."""
    keys = []
    for name in ("service", "custodian", "service"):
        store = store_with(bao.url, bao.token(policy(name, prefix)), prefix, tmp_path)
        material = await store.own_key("audit", generate_checkpoint_key)
        keys.append(CheckpointKey(material).public_key.key_id)
        await store.close()

    assert [keys[0]] * 3 == keys
    vault = client(bao, "service", prefix)
    with pytest.raises(Forbidden):
        vault.write_data(f"{MOUNT}/data/{prefix}/_privyseal-audit", data={"data": {}})


async def test_servers_that_start_together_agree_on_what_seals_the_state(
    bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """Whoever comes second may not write over it, and takes what the first one made."""
    stores = []
    for index in range(6):
        folder = tmp_path / f"server-{index}"
        folder.mkdir()
        stores.append(store_with(bao.url, bao.token(policy("service", prefix)), prefix, folder))
    try:
        keys = await asyncio.gather(*(own_sealing_key(store, "state") for store in stores))
    finally:
        await asyncio.gather(*(store.close() for store in stores))

    assert [keys[0]] * 6 == keys


async def test_a_server_that_may_not_make_what_seals_the_state_is_told(
    bao: BaoServer, prefix: str, tmp_path: Path
) -> None:
    """Under the policy of an earlier release it says which right is missing."""
    rule = policy("service", prefix).replace('["create", "read"]', '["read"]')
    store = store_with(bao.url, bao.token(rule), prefix, tmp_path)
    try:
        with pytest.raises(SecretStoreForbidden, match="create"):
            await own_sealing_key(store, "state")
    finally:
        await store.close()


async def test_the_service_can_do_its_work(
    bao: BaoServer, home: VaultHome, prefix: str, tmp_path: Path
) -> None:
    """`service.hcl` suffices to open, check, show and list keys, and to be ready."""
    created = await home.store.create("key-1", hmac_document())
    store = store_with(bao.url, bao.token(policy("service", prefix)), prefix, tmp_path)
    try:
        await store.check()
        opened = await store.open("key-1")
        assert opened.revision == await store.revision("key-1")
        assert created == await store.get("key-1")
        assert (created,) == (await store.list("", 10)).keys
        with pytest.raises(SecretStoreForbidden):
            await store.create("key-2", hmac_document())
        with pytest.raises(SecretStoreForbidden):
            await store.delete("key-1")
    finally:
        await store.close()


async def test_the_custodian_can_do_its_work(bao: BaoServer, prefix: str, tmp_path: Path) -> None:
    """`custodian.hcl` suffices to create, disable, enable and delete keys."""
    store = store_with(bao.url, bao.token(policy("custodian", prefix)), prefix, tmp_path)
    try:
        await store.create("key-1", hmac_document())
        await store.set_state("key-1", KeyState.DISABLED)
        assert KeyState.ENABLED is (await store.set_state("key-1", KeyState.ENABLED)).state
        await store.delete("key-1")
        with pytest.raises(KeyUnknown):
            await store.open("key-1")
    finally:
        await store.close()


def test_the_page_shows_the_policies_that_are_shipped() -> None:
    """docs/keys-in-vault.md quotes each file of deploy/vault whole."""
    page = (FOLDER.parents[1] / "docs" / "keys-in-vault.md").read_text()
    files = sorted(FOLDER.glob("*.hcl"))

    assert 4 == len(files)
    assert [] == [file.name for file in files if f"```hcl\n{file.read_text()}```" not in page]
