"""Three real OpenBao servers as one raft cluster, on loopback, for tests of fail-over."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path

import requests
from hvac.exceptions import VaultError

from bao import BaoServer, free_port

_NAMES = ("one", "two", "three")
_START_S = 30.0
# Until a node that the leader counts in has that on its own disk.
_TO_DISK_S = 1.0
_HEALTH = "sys/health?standbyok=true&perfstandbyok=true"


class BaoCluster:
    """Node by node like `BaoServer`; `leader()` may be another one after each fault."""

    def __init__(self, folder: Path) -> None:
        key_file = folder / "cluster.key"
        folder.mkdir(parents=True)
        key_file.write_bytes(secrets.token_bytes(32))
        ports = {name: free_port() for name in _NAMES}
        first = f"http://127.0.0.1:{ports['one']}"
        self.nodes = [
            BaoNode(folder / name, name, key_file, port, "" if name == "one" else first)
            for name, port in ports.items()
        ]

    def start(self) -> None:
        """Start all, and return when each may vote."""
        first, *others = self.nodes
        first.start()
        first.write(
            "sys/storage/raft/autopilot/configuration",
            server_stabilization_time="0s",
            last_contact_threshold="2s",
        )
        for node in others:
            node.root_token = first.root_token
            node.launch()
        _await(lambda: len(self._votes()) == len(self.nodes), "three nodes that joined")
        time.sleep(_TO_DISK_S)
        for node in others:
            # A process that joined tries to unseal itself every five seconds only.
            node.stop()
            node.launch()
        self.await_voters()

    def await_voters(self) -> None:
        """Return when three nodes vote and answer."""
        _await(lambda: self._votes().count(True) == len(self.nodes), "three voters")
        _await(lambda: all(node.is_well() for node in self.nodes), "three well nodes")

    def revive(self) -> None:
        """Start what was stopped."""
        for node in self.nodes:
            if not node.is_well():
                node.stop()
                node.launch()
        self.await_voters()

    def leader(self) -> "BaoNode":
        """Return the node that leads now."""
        _await(lambda: any(node.is_leader() for node in self.nodes), "a leader")
        return next((node for node in self.nodes if node.is_leader()), self.nodes[0])

    def stop(self) -> None:
        """End all processes."""
        for node in self.nodes:
            node.stop()

    def _votes(self) -> list[bool]:
        try:
            answer = self.leader().root().read("sys/storage/raft/configuration")
        except (requests.RequestException, VaultError):
            return []
        assert isinstance(answer, dict)
        return [each["voter"] for each in answer["data"]["config"]["servers"]]


class BaoNode(BaoServer):
    """One of the three. It unseals itself by the key that they share."""

    def __init__(self, folder: Path, name: str, key_file: Path, port: int, join: str) -> None:
        self._name = name
        self._key_file = key_file
        self._join = join
        super().__init__(folder, port=port)

    def is_leader(self) -> bool:
        """Whether this node answers, and leads."""
        return self._health("sys/health") == 200

    def is_well(self) -> bool:
        """Whether this node answers, unsealed."""
        return self._health(_HEALTH) == 200

    def _health(self, path: str) -> int:
        try:
            return self._session().get(f"{self.url}/v1/{path}", timeout=2).status_code
        except requests.RequestException:
            return 0

    def _config(self) -> str:
        text = super()._config()
        join = f'retry_join {{\n    leader_api_addr = "{self._join}"\n  }}' if self._join else ""
        text = text.replace(
            'node_id = "one"',
            f'node_id = "{self._name}"\n  autopilot_reconcile_interval = "500ms"\n'
            f'  autopilot_update_interval = "500ms"\n  retry_join_as_non_voter = false\n  {join}',
        )
        return text.replace(str(self.folder / "unseal.key"), str(self._key_file))


def _await(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if is_so():
            return
        time.sleep(0.05)
    raise TimeoutError(f"the cluster has not {what}")
