"""What may befall Vault: how it comes about, and how it is mended."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bao import MOUNT, BaoServer
from bao_cluster import BaoCluster
from vault_desk import VaultDesk
from vault_policies import policy


@dataclass(frozen=True, slots=True)
class Scenario:
    """`strike` and `mend` run off the event loop; a fault that heals by itself has no `mend`."""

    name: str
    strike: Callable[[VaultDesk], None]
    mend: Callable[[VaultDesk], None] | None = None
    needs_cluster: bool = False


def _cluster(desk: VaultDesk) -> BaoCluster:
    assert desk.cluster is not None
    return desk.cluster


def _kill_leader(desk: VaultDesk) -> None:
    _cluster(desk).leader().stop()


def _kill_quorum(desk: VaultDesk) -> None:
    for node in _cluster(desk).nodes[:2]:
        node.stop()


def _slow_down(desk: VaultDesk) -> None:
    desk.proxy.delay_s = 5


def _speed_up(desk: VaultDesk) -> None:
    desk.proxy.delay_s = 0


def _seal(desk: VaultDesk) -> None:
    desk.bao.seal()


def _unseal(desk: VaultDesk) -> None:
    desk.bao.unseal()


def _stop(desk: VaultDesk) -> None:
    desk.bao.stop()


def _start(desk: VaultDesk) -> None:
    desk.bao.start()


def _revoke(desk: VaultDesk) -> None:
    """Revoke what the role logged in with, and all that it handed out."""
    desk.bao.write("sys/leases/revoke-prefix/auth/approle/login")


def _remove_policy(desk: VaultDesk) -> None:
    desk.bao.root().delete(f"sys/policies/acl/{desk.role}")


def _grant_policy(desk: VaultDesk) -> None:
    desk.bao.root().sys.create_or_update_policy(desk.role, policy("custodian", desk.prefix))


def _deny_secrets(desk: VaultDesk) -> None:
    text = policy("custodian", desk.prefix)
    data = f'path "{MOUNT}/data/{desk.prefix}/*" {{ capabilities = ["deny"] }}\n'
    desk.bao.root().sys.create_or_update_policy(desk.role, text + data)


def _disable(desk: VaultDesk) -> None:
    _each_key(desk, lambda path: _custom(desk, path, "DISABLED"))


def _enable(desk: VaultDesk) -> None:
    _each_key(desk, lambda path: _custom(desk, path, "ENABLED"))


def _custom(desk: VaultDesk, path: str, state: str) -> None:
    desk.bao.write(f"{MOUNT}/metadata/{path}", custom_metadata={"state": state})


def _delete(desk: VaultDesk) -> None:
    kv = desk.bao.root().secrets.kv.v2
    _each_key(desk, lambda path: kv.delete_metadata_and_all_versions(path, MOUNT))


def _destroy(desk: VaultDesk) -> None:
    kv = desk.bao.root().secrets.kv.v2
    _each_key(desk, lambda path: kv.destroy_secret_versions(path, [1], MOUNT))


def _each_key(desk: VaultDesk, change: Callable[[str], object]) -> None:
    answer = desk.bao.root().list(f"{MOUNT}/metadata/{desk.prefix}")
    assert isinstance(answer, dict)
    for name in answer["data"]["keys"]:
        change(f"{desk.prefix}/{name}")


def _write_again(desk: VaultDesk) -> None:
    desk.write_keys()


def _unmount(desk: VaultDesk) -> None:
    desk.bao.root().delete(f"sys/mounts/{MOUNT}")


def _mount_again(desk: VaultDesk) -> None:
    desk.bao.mount_kv()
    desk.write_keys()


def _swap(desk: VaultDesk) -> None:
    """Put another server in this one's place, which knows neither keys, roles nor tokens."""
    desk.bao.stop()
    folder = Path(tempfile.mkdtemp(prefix="other-", dir=desk.folder))
    desk.other = BaoServer(folder / "bao", port=desk.bao.port)
    desk.other.start()


def _swap_back(desk: VaultDesk) -> None:
    assert desk.other is not None
    desk.other.stop()
    desk.bao.start()


SCENARIOS = (
    Scenario("leader of three killed", _kill_leader, needs_cluster=True),
    Scenario(
        "two of three killed",
        _kill_quorum,
        lambda desk: _cluster(desk).revive(),
        needs_cluster=True,
    ),
    Scenario("5 s slow", _slow_down, _speed_up),
    Scenario("sealed", _seal, _unseal),
    Scenario("down", _stop, _start),
    Scenario("token revoked", _revoke),
    Scenario("policy removed", _remove_policy, _grant_policy),
    Scenario("`data` denied, `metadata` allowed", _deny_secrets, _grant_policy),
    Scenario("keys disabled", _disable, _enable),
    Scenario("keys deleted", _delete, _write_again),
    Scenario("keys destroyed", _destroy, _write_again),
    Scenario("KV mount gone", _unmount, _mount_again),
    Scenario("restarted with other data", _swap, _swap_back),
)
