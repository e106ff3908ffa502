import stat
import tomllib
from pathlib import Path

import pytest
from cryptography import x509

from cli.program import privyseal
from privyseald.config import load_config
from privyseald.policy.action import Action
from privyseald.policy.file import load_policy
from privyseald.tls_files import read_tls
from privyseald.venues.registry import Venues


def test_a_new_directory_can_be_served(tmp_path: Path) -> None:
    """What init writes is a whole configuration, and a policy for its one caller."""
    result = privyseal("init", str(tmp_path / "new"), "--port", "7001")
    config = load_config(tmp_path / "new" / "privyseal.toml", {})
    rules = load_policy(config.policy.file, Venues())
    assert (result.exit_code, result.stderr) == (0, "")
    assert (config.server.listen, config.server.ops_listen) == ("127.0.0.1:7001", "127.0.0.1:7002")
    # 7003 is left to callers with tokens, as the documents have it.
    assert config.server.http_ops_listen == "127.0.0.1:7004"
    assert config.server.tls is not None
    assert read_tls(config.server.tls).client_ca is not None
    assert [rule.name for rule in rules] == ["operator"]


def test_init_says_what_to_do_next(tmp_path: Path) -> None:
    """The output names the two commands to go on with."""
    output = privyseal("init", str(tmp_path / "new")).stdout
    assert f"{tmp_path / 'new'} is ready. Now:" in output.replace("\n", " ")
    assert "privyseal serve" in output
    assert "privyseal venues list" in output


def test_the_first_policy_grants_all_that_there_is(tmp_path: Path) -> None:
    """The operator of a try-out may do everything that this release can."""
    privyseal("init", str(tmp_path / "new"))
    (operator,) = load_policy(tmp_path / "new" / "policy.yaml", Venues())
    assert {action for action in Action if operator.selectors.speaks_of(action)} == set(Action)


def test_secrets_are_for_their_owner_alone(tmp_path: Path) -> None:
    """No file that holds a private key can be read by others, nor the directory entered."""
    new = tmp_path / "new"
    privyseal("init", str(new))
    files = [new, new / "store.key", *(new / "tls").glob("*-key.pem")]
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in files}
    assert modes == {"new": 0o700, "store.key": 0o600, "server-key.pem": 0o600} | {
        "client-key.pem": 0o600
    }


def test_the_cas_key_is_nowhere(tmp_path: Path) -> None:
    """Nobody can make another caller's certificate from what is on the disk."""
    new = tmp_path / "new"
    privyseal("init", str(new))
    keys = sorted(
        path.name for path in new.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()
    )
    assert keys == ["client-key.pem", "server-key.pem"]


def test_the_client_is_named_by_a_spiffe_id(tmp_path: Path) -> None:
    """The caller's certificate has its name as a URI, and no common name."""
    new = tmp_path / "new"
    privyseal("init", str(new))
    certificate = x509.load_pem_x509_certificate((new / "tls" / "client.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert (uris, list(certificate.subject)) == (["spiffe://privyseal.test/operator"], [])


def test_a_directory_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    """Nothing is overwritten: exit code 2, and what to give instead."""
    (tmp_path / "mine").write_text("precious")
    result = privyseal("init", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: {tmp_path} is not empty; give a new directory\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_directory_that_can_not_be_made(tmp_path: Path) -> None:
    """Where a file is in the way, the answer names it."""
    (tmp_path / "file").write_text("")
    result = privyseal("init", str(tmp_path / "file" / "new"))
    assert result.exit_code == 2
    assert result.stderr == f"error: {tmp_path}/file/new can't be written (Not a directory)\n"


@pytest.mark.parametrize("port", ["-1", "65533", "x"])
def test_a_port_that_is_none(tmp_path: Path, port: str) -> None:
    """A port must leave room for the next one."""
    result = privyseal("init", str(tmp_path / "new"), "--port", port)
    assert (result.exit_code, (tmp_path / "new").exists()) == (2, False)


def test_the_client_file_names_server_and_certificates(tmp_path: Path) -> None:
    """`client.toml` is what the other commands need, with paths beside it."""
    privyseal("init", str(tmp_path / "new"), "--port", "7001")
    assert tomllib.loads((tmp_path / "new" / "client.toml").read_text()) == {
        "server": "localhost:7001",
        "ca_file": "tls/ca.pem",
        "certificate_file": "tls/client.pem",
        "private_key_file": "tls/client-key.pem",
    }


@pytest.mark.parametrize("name", ["server.pem", "client.pem"])
def test_its_certificates_satisfy_a_strict_verifier(tmp_path: Path, name: str) -> None:
    """Each names the key of its authority (RFC 5280, 4.2.1.1), as Python 3.13 asks."""
    privyseal("init", str(tmp_path / "new"))
    tls = tmp_path / "new" / "tls"
    authority = x509.load_pem_x509_certificate((tls / "ca.pem").read_bytes())
    issued = x509.load_pem_x509_certificate((tls / name).read_bytes())

    issued.verify_directly_issued_by(authority)
    subject = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    named = issued.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert named.key_identifier == subject.digest
