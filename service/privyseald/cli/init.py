"""`privyseal init`: a directory from which a server can be tried out in one more command."""

from pathlib import Path
from typing import Annotated

import typer

from privyseald.cli.certificates import Pem, TryOutCa
from privyseald.cli.output import USAGE, console, fail
from privyseald.config_error import ConfigInvalid
from privyseald.private_file import create_private_file
from privyseald.secretstore.store_key import create_key_file

CALLER = "spiffe://privyseal.test/operator"

_CONFIG = """\
# A server to try out: keys in an encrypted file, one process. docs/configuration.md has
# every setting; docs/keys-in-vault.md shows how to use Vault or OpenBao instead.

[server]
listen = "127.0.0.1:{port}"
ops_listen = "127.0.0.1:{ops_port}"
http_ops_listen = "127.0.0.1:{http_ops_port}"
drain_delay_ms = 0

[server.tls]
certificate_file = "tls/server.pem"
private_key_file = "tls/server-key.pem"
client_ca_file = "tls/ca.pem"

[store]
url = "embedded://{store}"
key_file = "store.key"

[state]
path = "nonces.high-water"

[policy]
file = "policy.yaml"

[audit]
file = "audit.jsonl"
"""

_POLICY = """\
# Who may do what. A caller is the SPIFFE ID, URI or DNS name of a client certificate;
# '*' stands for any characters. What no rule allows is denied.
version: 1
rules:
  # 'sign' takes neither withdrawals, transfers and the management of keys, which must be named
  # ("@withdrawals"), nor requests that no venue's table knows ('sign-unlisted').
  - name: operator
    callers: ["{caller}"]
    keys: ["*"]
    # A signature of nebulaex and kiiex is good for any request: see docs/policy.md.
    accept_bearer: true
    allow:
      - sign
      - sign-message
      - sign-typed-data
      - login
      - create-key
      - use-for-create-key
      - read-key
      - import-key
      - rotate-key
      - disable-key
      - enable-key
      - delete-key
      - resync-nonce
      - create-hold
      - read-hold
      - delete-hold
"""

_CLIENT = """\
# How 'privyseal keys', 'sign', 'login' and 'venues' reach the server.
server = "localhost:{port}"
ca_file = "tls/ca.pem"
certificate_file = "tls/client.pem"
private_key_file = "tls/client-key.pem"
"""


def init(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.")],
    port: Annotated[int, typer.Option("--port", help="The gRPC port.", min=0, max=65532)] = 7443,
) -> None:
    """Write a configuration, certificates, a policy and a store key to begin with."""
    try:
        prepare(directory, port)
    except ConfigInvalid as error:
        fail(str(error), USAGE)
    console.print(f"{directory} is ready. Now:")
    console.print(f"  cd {directory} && privyseal serve &")
    console.print("  privyseal venues list")


def prepare(directory: Path, port: int) -> TryOutCa:
    """Fill the directory and return its CA, whose key is kept nowhere.

    Raises ConfigInvalid where the directory is not empty or can't be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise ConfigInvalid(f"{directory} is not empty; give a new directory")
        tls = directory / "tls"
        tls.mkdir()
        directory.chmod(0o700)
        ca = TryOutCa()
        (tls / "ca.pem").write_bytes(ca.certificate)
        _write(tls, "server", ca.server(("localhost", "127.0.0.1", "::1")))
        _write(tls, "client", ca.caller(CALLER))
        create_key_file(directory / "store.key")
        (directory / "privyseal.toml").write_text(
            _CONFIG.format(
                port=port,
                ops_port=port + 1 if port else 0,
                # The port between is the one that the documents give to callers with tokens.
                http_ops_port=port + 3 if port else 0,
                store=(directory / "store.db").resolve(),
            )
        )
        (directory / "policy.yaml").write_text(_POLICY.format(caller=CALLER))
        (directory / "client.toml").write_text(_CLIENT.format(port=port))
    except OSError as error:
        raise ConfigInvalid(f"{directory} can't be written ({error.strerror})") from error
    return ca


def _write(directory: Path, name: str, pem: Pem) -> None:
    (directory / f"{name}.pem").write_bytes(pem.certificate)
    create_private_file(directory / f"{name}-key.pem", pem.private_key, f"{name}'s private key")
