"""The documents' examples, run."""

import asyncio
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.main import get_command

from bao import BINARY, BaoServer
from fakes import FakeClock
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.caller import Caller
from privyseald.cli.app import app as cli
from privyseald.cli.connect import _ClientConfig
from privyseald.config import Config, TlsConfig
from privyseald.identity_config import IssuerConfig, JwtConfig, UnixSocketConfig
from privyseald.policy.action import Action
from privyseald.policy.file import parse_policy
from privyseald.policy.policy import Policy
from privyseald.venues.registry import Venues
from server_certificate import write_certificate
from service import OPERATOR, Service

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "tests/vectors/*.md", "clients/*.md", "clients/*/*.md")
    for path in ROOT.glob(pattern)
)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)")
_COMMAND = re.compile(r"privyseal ([a-z]+(?: [a-z]+)?)")


def blocks(name: str, language: str) -> list[str]:
    """Return a document's code blocks of one language."""
    text = (ROOT / name).read_text()
    return [content for found, content in _BLOCK.findall(text) if found == language]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Each link between documents names a file that is there."""
    missing = [
        target
        for target, _ in _LINK.findall(path.read_text())
        if target and not (path.parent / target).exists()
    ]

    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_commands_exist(path: Path) -> None:
    """Each `privyseal …` in code is a command of the program."""
    known = get_command(cli)
    names = set(known.commands)  # type: ignore[attr-defined]  # a group
    code = re.findall(
        r"`(privyseal [^`]*)`|^\s+\$? ?(privyseal .*)$", path.read_text(), re.MULTILINE
    )
    wrong = [
        match[1]
        for line in (first or second for first, second in code)
        if (match := _COMMAND.match(line)) and match[1].split()[0] not in names
    ]

    assert wrong == []


def test_the_command_line_s_file_is_accepted() -> None:
    """The example of client.toml has all settings, but those that exclude others."""
    text = blocks("docs/configuration.md", "toml")[-1]
    settings = tomllib.loads(text)
    assert _ClientConfig.model_validate(settings).server == "localhost:7443"
    assert all(name in text for name in _ClientConfig.model_fields)


def test_the_whole_configuration_is_accepted() -> None:
    """The example with every setting is one that the daemon accepts, and names them all."""
    settings = tomllib.loads(blocks("docs/configuration.md", "toml")[0])

    config = Config.model_validate(settings)

    assert config.store.url == "vault://signer/keys"
    text = blocks("docs/configuration.md", "toml")[0]
    for name, section in Config.model_fields.items():
        assert f"[{name}" in text, name
        for setting in getattr(section.annotation, "model_fields", {}):
            assert setting in text, f"{name}.{setting}"
    for nested in (TlsConfig, JwtConfig, IssuerConfig, UnixSocketConfig):
        stands = {name for name in nested.model_fields if re.search(rf"\b{name}( =|\.)", text)}
        assert nested.model_fields.keys() == stands


def test_the_example_policy_is_accepted() -> None:
    """The example policy loads."""
    text = blocks("docs/policy.md", "yaml")[0]
    policy = Policy(parse_policy(text, "docs/policy.md", Venues()), FakeClock())

    custodian = Caller("spiffe://trading.example.com/custodian", "mtls-spiffe")
    assert policy.allows(custodian, Action.IMPORT_KEY, "whitebit-main")


def test_every_venue_is_described() -> None:
    """docs/venues.md and the README name every venue."""
    text = (ROOT / "docs/venues.md").read_text()

    assert [venue.name for venue in Venues() if f"`{venue.name}`" not in text] == []


async def test_the_steps_for_vault_lead_to_a_signature(
    bao: BaoServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each command of docs/keys-in-vault.md works in order, and the key it writes signs."""
    programs = tmp_path_factory.mktemp("programs")
    (programs / "vault").symlink_to(BINARY)
    for policy in blocks("docs/keys-in-vault.md", "hcl"):
        (tmp_path / policy.split()[1]).write_text(_renamed(policy, tmp_path))
    authority, _, _ = write_certificate(tmp_path)
    certificate = x509.load_pem_x509_certificate(authority.read_bytes())
    (tmp_path / "issuer.pem").write_bytes(
        certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    for name in ("kubernetes-ca.pem", "client-ca.pem"):
        (tmp_path / name).write_bytes(authority.read_bytes())
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "VAULT_ADDR": bao.url,
        "BAO_ADDR": bao.url,
        "BAO_TOKEN": bao.root_token,
        "VAULT_TOKEN": bao.root_token,
    }
    await asyncio.to_thread(_run_steps, tmp_path, environment)
    vault = {
        "address": bao.url,
        "auth": "approle",
        "role_id_file": tmp_path / "role-id",
        "secret_id_file": tmp_path / "secret-id",
        "auth_mount": _renamed("approle", tmp_path),
    }
    store = {"url": _renamed("vault://signer/keys", tmp_path), "key_file": None}

    async with Service(tmp_path, vault=vault, store=store) as service:
        stubs = await service.as_caller(OPERATOR)
        request = pb.SignRequest(key="keys/whitebit-main")
        request.http_request.method = "POST"
        request.http_request.path = "/api/v4/trade-account/balance"
        answer = await stubs.signing.Sign(request)

    assert answer.algorithm == "hmac-sha512"


def _run_steps(directory: Path, environment: dict[str, str]) -> None:
    for block in blocks("docs/keys-in-vault.md", "console"):
        for line in block.splitlines():
            command = _renamed(line.removeprefix("$ "), directory)
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=directory,
                env=environment,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stderr}"


def _renamed(text: str, directory: Path) -> str:
    """Give mounts of the shared server names of this test's own."""
    suffix = re.sub(r"[^a-z0-9]", "", directory.name.lower())
    text = re.sub(r"\bsigner\b", f"signer{suffix}", text)
    text = text.replace("auth enable approle", f"auth enable -path=approle{suffix} approle")
    text = re.sub(r"auth/approle\b", f"auth/approle{suffix}", text)
    return f"approle{suffix}" if text == "approle" else text
