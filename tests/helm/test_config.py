"""What the chart renders, the real service reads."""

import json
import os
import re
import secrets
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from helm.cases import CASES
from helm.engine import ROOT, Engine, the
from helm.kubelet import Files, Pod
from privyseald.cli.app import app
from privyseald.cli.certificates import TryOutCa
from privyseald.config import Config, load_config

_CA = TryOutCa()
_SERVER = _CA.server(("localhost",))
_TLS: Files = {
    "tls.crt": _SERVER.certificate,
    "tls.key": _SERVER.private_key,
    "ca.crt": _CA.certificate,
}
_CA_ONLY: Files = {
    "ca.crt": _CA.certificate,
    "ca.pem": _CA.certificate,
    "trust.pem": _CA.certificate,
}
_POLICY: Files = {"policy.yaml": (ROOT / "docs/policies/market-maker.yaml").read_bytes()}
# What an installer brings, by the names that the cases give it.
SOURCES: dict[str, Files] = {
    **{f"secret/{name}-tls": _TLS for name in ("desk-privyseal", "desk-signer", "server")},
    **{f"secret/{name}": _TLS for name in ("vault-client", "valkey-client")},
    **{f"secret/{name}": _CA_ONLY for name in ("vault-ca", "valkey-ca", "callers-ca")},
    **{f"configmap/{name}": _CA_ONLY for name in ("vault-ca", "valkey-ca", "callers-ca")},
    "configmap/kube-root-ca.crt": _CA_ONLY,
    "configmap/policy-of-ours": _POLICY,
    "configmap/jwks": {"jwks.json": b'{"keys": []}'},
    "csi/spiffe.csi.cert-manager.io": _TLS,
    "csi/csi.cert-manager.io": _TLS,
    "secret/valkey-password": {"password": b"test"},
    "secret/valkey-passwords": {"password": b"test", "sentinel": b"test"},
    "secret/approle": {"role-id": b"test", "secret-id": b"test"},
    "secret/token": {"token": b"test"},
    "secret/store-key": {"store.key": secrets.token_bytes(32)},
    "token/vault": {"token": b"test"},
    "token/": {"token": b"test"},
}


def pod_of_case(engine: Engine, name: str, folder: Path) -> Pod:
    """Return the pod of a case, laid out."""
    pod = Pod(folder, engine.render(CASES[name]), SOURCES)
    if name == "csi-spire":
        # What the helper writes.
        for file, content in _TLS.items():
            path = pod.path(f"/etc/privyseal/tls/{file}")
            path.write_bytes(content)
            path.chmod(0o600)
    return pod


def config_file(pod: Pod) -> Path:
    """Return the file that the container is told to read."""
    return pod.path("/etc/privyseal/config/privyseal.toml")


@pytest.mark.parametrize("name", CASES)
def test_the_service_takes_the_configuration(engine: Engine, name: str, tmp_path: Path) -> None:
    """`privyseal config check` reads it with certificates and policy, and finds it right."""
    pod = pod_of_case(engine, name, tmp_path)

    done = CliRunner().invoke(app, ["config", "check", "--config", str(config_file(pod))])

    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", CASES)
def test_each_file_that_is_named_is_mounted(engine: Engine, name: str, tmp_path: Path) -> None:
    """And what the service writes lies on what outlives the pod, or need not."""
    pod = pod_of_case(engine, name, tmp_path)
    text = config_file(pod).read_text()

    read = re.findall(r'_file = "([^"]+)"', text)
    assert [file for file in read if not Path(file).is_file()] == []
    config = load_config(config_file(pod), {})
    state = pod.path("/var/lib/privyseal")
    written = [config.escrow_path, config.holds_path, config.state.path, config.audit.file]
    assert all(path.parent == state for path in written if path is not None)


@pytest.mark.parametrize("name", ["defaults", "production", "embedded-store"])
def test_the_program_takes_it_too(engine: Engine, name: str, tmp_path: Path) -> None:
    """In a process of its own; and the policy, by `privyseal policy check`."""
    pod = pod_of_case(engine, name, tmp_path)
    policy = pod.path("/etc/privyseal/policy/policy.yaml")

    for arguments in (
        ["config", "check", "--config", str(config_file(pod))],
        ["policy", "check", str(policy)],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "privyseald", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"]},
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_policy_arrives_byte_by_byte(engine: Engine, tmp_path: Path) -> None:
    """With its comments and its long lines, as `--set-file` brings it."""
    for file in sorted((ROOT / "docs/policies").glob("*.yaml")):
        objects = engine.render({"policy": {"document": file.read_text()}})
        pod = Pod(tmp_path / file.stem, objects, SOURCES)
        rendered = pod.path("/etc/privyseal/policy/policy.yaml")
        assert rendered.read_bytes() == file.read_bytes()
        done = CliRunner().invoke(app, ["policy", "check", str(rendered)])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    "text",
    [
        "  # indented\nversion: 1\n",
        "version: 1",
        "version: 1\r\n",
        "\n\nversion: 1 \n\n",
        "a: '{{ b }}'",
    ],
)
def test_any_text_arrives_as_it_is(engine: Engine, text: str) -> None:
    """However it begins and ends."""
    objects = engine.render({"policy": {"document": text}})

    assert the(objects, "ConfigMap", "-policy")["data"] == {"policy.yaml": text}


def test_what_is_set_is_in_force(engine: Engine, tmp_path: Path) -> None:
    """Numbers stay whole numbers, and the chart's own settings stay beside them."""
    config = load_config(config_file(pod_of_case(engine, "settings", tmp_path)), {})

    assert config.server.workers == 2
    assert config.server.drain_delay_ms == 7500
    assert config.server.grace_ms == 0
    assert config.store.hard_ttl_ms == 1_000_000
    assert config.store.url == "vault://signer/keys"
    assert config.venues["kiiex"].base_urls == {"staging": "https://apstage.proxy.kiiex.io"}
    assert config.audit.file is not None


def test_the_grace_is_reckoned_from_the_services_own_defaults() -> None:
    """The templates know them by heart; here is who tells when they change."""
    server = Config.model_fields["server"].annotation
    assert server is not None
    fields = server.model_fields
    outbound = Config.model_fields["outbound"].default

    assert (fields["drain_delay_ms"].default, fields["grace_ms"].default) == (5_000, 20_000)
    assert outbound.timeout_ms == 10_000


def test_texts_with_anything_in_them_are_toml(engine: Engine) -> None:
    """Quotes, backslashes, brackets: TOML reads what was given."""
    odd = "https://login.example.com/a\"b\\c<d>&'"
    issuers = {"desk": {"issuer": odd.replace(" ", ""), "audience": "é".encode().hex()}}
    objects = engine.render({"jwt": {"enabled": True, "issuers": issuers}})
    (config,) = (each for each in objects if each["metadata"]["name"].endswith("-config"))

    read = tomllib.loads(config["data"]["privyseal.toml"])
    assert json.loads(json.dumps(read["server"]["jwt"]["issuers"]["desk"])) == issuers["desk"]


def test_the_documents_values_are_those_of_a_case() -> None:
    """So what docs/kubernetes.md shows for production is what the tests render."""
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    block = re.search(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    shown = YAML(typ="safe").load(block[1])

    shown["image"]["digest"] = CASES["production"]["image"]["digest"]
    assert shown == CASES["production"]
