from pathlib import Path

import pytest
from pydantic import ValidationError

from privyseald.config_error import ConfigInvalid
from privyseald.open_store import _auth_method
from privyseald.vault.approle import AppRole
from privyseald.vault.jwt import JwtLogin
from privyseald.vault.tls_certificate import TlsCertificate
from privyseald.vault.token_file import TokenFile
from privyseald.vault_config import VaultConfig

ADDRESS = "https://vault.example.com:8200"
METHODS = [
    ("token-file", {"token_file": "t"}, TokenFile),
    ("approle", {"role_id_file": "r", "secret_id_file": "s"}, AppRole),
    ("kubernetes", {"role": "r"}, JwtLogin),
    ("jwt", {"role": "r", "jwt_file": "j"}, JwtLogin),
    (
        "tls-certificate",
        {"client_certificate_file": "c", "client_private_key_file": "k"},
        TlsCertificate,
    ),
]


def config_of(auth: str, **settings: str) -> VaultConfig:
    """Return the section with these settings."""
    return VaultConfig.model_validate({"address": ADDRESS, "auth": auth, **settings})


@pytest.mark.parametrize(("auth", "settings", "method"), METHODS)
def test_each_name_gives_its_method(
    auth: str, settings: dict[str, str], method: type[object]
) -> None:
    """`vault.auth` alone decides, whatever other settings stand beside it."""
    others = {name: value for _, each, _ in METHODS for name, value in each.items()}

    assert type(_auth_method(config_of(auth, **settings))) is method
    assert type(_auth_method(config_of(auth, **others))) is method


@pytest.mark.parametrize(("auth", "settings"), [method[:2] for method in METHODS])
def test_a_missing_setting_is_named(auth: str, settings: dict[str, str]) -> None:
    """Each setting that a method needs is asked for by name."""
    for name in settings:
        rest = {other: value for other, value in settings.items() if other != name}
        with pytest.raises(ValidationError, match=f"'{auth}': set vault.{name}"):
            config_of(auth, **rest)


@pytest.mark.parametrize(
    ("auth", "mount"), [("approle", "approle"), ("kubernetes", "kubernetes"), ("jwt", "jwt")]
)
def test_a_method_has_a_mount_of_its_name(auth: str, mount: str) -> None:
    """Where no mount is given, it is Vault's default for the method; a given one stands."""
    settings = next(settings for name, settings, _ in METHODS if name == auth)

    assert config_of(auth, **settings).login_mount == mount
    assert config_of(auth, **settings, auth_mount="other/place").login_mount == "other/place"


def test_a_certificate_is_for_tls() -> None:
    """A client certificate and plain HTTP contradict each other."""
    settings = METHODS[-1][1]
    with pytest.raises(ValidationError, match="must be https://"):
        VaultConfig.model_validate(
            {"auth": "tls-certificate", **settings, "address": "http://127.0.0.1:8200"}
        )
    assert config_of("tls-certificate", **settings).login_mount == "cert"


def test_a_pod_finds_its_own_token() -> None:
    """Kubernetes' place for a token is known; a given file goes before it."""
    assert config_of("kubernetes", role="r").login_jwt_file == Path(
        "/var/run/secrets/kubernetes.io/serviceaccount/token"
    )
    assert config_of("kubernetes", role="r", jwt_file="j").login_jwt_file == Path("j")


def test_a_section_that_was_not_checked_gives_no_method() -> None:
    """Settings that are missing after all are named, not guessed."""
    with pytest.raises(ConfigInvalid, match="'tls-certificate'"):
        _auth_method(VaultConfig.model_construct(address=ADDRESS, auth="tls-certificate"))
