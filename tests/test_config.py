import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from privyseald.config import Config, VenueConfig, load_config
from privyseald.config_error import ConfigInvalid
from privyseald.vault_config import VaultConfig

_FILE = """\
[server]
allow_plaintext_on_loopback = true

[store]
url = "embedded://./keys/store.db"
key_file = "store.key"

[state]
path = "nonces.high-water"

[policy]
file = "/etc/privyseal/policy.yaml"
"""


def load(tmp_path: Path, text: str = _FILE, **environment: str) -> Config:
    """Return the configuration of a text."""
    (tmp_path / "privyseal.toml").write_text(text)
    return load_config(tmp_path / "privyseal.toml", environment)


def mistake(tmp_path: Path, text: str = _FILE, **environment: str) -> str:
    """Return what is said of a wrong configuration."""
    with pytest.raises(ConfigInvalid) as caught:
        load(tmp_path, text, **environment)
    return str(caught.value)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Where the command runs makes no difference; absolute paths stay."""
    config = load(tmp_path)
    assert config.store.path == tmp_path / "keys" / "store.db"
    assert config.store.key_file == tmp_path / "store.key"
    assert config.state.path == tmp_path / "nonces.high-water"
    assert config.policy.file == Path("/etc/privyseal/policy.yaml")


def test_what_is_left_out_has_a_safe_value(tmp_path: Path) -> None:
    """Defaults listen on loopback, reflect nothing, and bound everything."""
    server = load(tmp_path).server
    assert (server.listen, server.ops_listen) == ("127.0.0.1:7443", "127.0.0.1:7444")
    assert (server.reflection, server.max_message_bytes) == (False, 1_048_576)


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    """`PRIVYSEAL__SECTION__KEY` wins, in each type of setting; other variables mean nothing."""
    config = load(
        tmp_path,
        PRIVYSEAL__SERVER__LISTEN="127.0.0.1:1",
        PRIVYSEAL__SERVER__REFLECTION="true",
        PRIVYSEAL__STORE__SOFT_TTL_MS="5",
        PRIVYSEAL__LOG__LEVEL="debug",
        PRIVYSEAL__POLICY__FILE="other.yaml",
        PRIVYSEAL_CONFIG="nothing",
        HOME="/",
    )
    assert (config.server.listen, config.server.reflection) == ("127.0.0.1:1", True)
    assert (config.store.soft_ttl_ms, config.log.level) == (5, "debug")
    assert config.policy.file == tmp_path / "other.yaml"


def test_an_unknown_variable_is_refused_by_its_name(tmp_path: Path) -> None:
    """A slip in a variable is not a setting that silently has no effect."""
    assert mistake(tmp_path, PRIVYSEAL__SERVER__LISTN="127.0.0.1:1") == (
        "PRIVYSEAL__SERVER__LISTN: server.listn is no setting; look for a slip of the pen"
    )


def test_a_wrong_variable_is_told_by_its_name(tmp_path: Path) -> None:
    """A bad value is looked for where it came from."""
    words = mistake(tmp_path, PRIVYSEAL__SERVER__GRACE_MS="soon")
    assert words.startswith("PRIVYSEAL__SERVER__GRACE_MS: server.grace_ms: Input should be")


def test_a_variable_can_not_go_below_a_setting(tmp_path: Path) -> None:
    """A setting has no settings inside."""
    words = mistake(tmp_path, PRIVYSEAL__STORE__URL__PATH="x")
    assert words == "PRIVYSEAL__STORE__URL__PATH: 'url' is a setting, not a section"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[state]", "[stat]\n[state]", "stat is no setting; look for a slip of the pen"),
        ("[state]\n", '[state]\nurl = "etcd://a"\n', "state.url: "),
        ("url = ", "ulr = ", "store.url is missing"),
        ("embedded://./", "sqlite://", "store.url: "),
        ("embedded://./", "embedded://", "store.url: "),
        ('key_file = "store.key"', "", "an embedded store needs one of store.key_file and"),
        ("key_file", 'passphrase_file = "a"\nkey_file', "an embedded store needs one of"),
        ("key_file", "soft_ttl_ms = 900001\nkey_file", "soft_ttl_ms must not be above"),
        ("key_file", "hard_ttl_ms = 86400001\nkey_file", "store.hard_ttl_ms: "),
        ("allow_plaintext_on_loopback = true", "", "set server.tls (certificate_file,"),
        ("[server]\n", '[server]\nlisten = "0.0.0.0:1"\n', "must be a loopback address"),
        ("[server]\n", '[server]\nlisten = "localhost"\n', "must be a host and a port up to"),
        ("[server]\n", '[server]\nlisten = "localhost:65536"\n', "must be a host and a port up"),
        ("[server]\n", '[server]\nlisten = "a b:1"\n', "server.listen: must be a host and a"),
        ("[server]\n", "[server]\nmax_concurrent_rpcs = 0\n", "server.max_concurrent_rpcs: "),
        ("[server]\n", "[server]\nmax_message_bytes = 16777217\n", "server.max_message_bytes: "),
        ("[policy]", '[log]\nlevel = "loud"\n[policy]', "log.level: "),
        ("[policy]", '[venues.kiiex.base_urls]\na = "ftp://x"\n[policy]', "venues.kiiex.base_"),
        ("[policy]", '[venues.kiiex.base_urls]\na = "http://u:p@x"\n[policy]', "venues.kiiex.b"),
        ("[policy]", '[venues.kiiex.base_urls]\na = "http://x"\n[policy]', "a is not encrypted"),
        (
            "[policy]",
            '[vault]\naddress = "http://v:8200"\ntoken_file = "t"\n[policy]',
            "vault.addr",
        ),
        ("[policy]", "[venues.kiiex]\ntimeout = 1\n[policy]", "venues.kiiex.timeout is no setting"),
        ("[policy]\n", "[policy]\nfile = 1\nfile = 2\n", "is not TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    """Each mistake is told with file and setting, in words of our own."""
    assert old in _FILE
    said = mistake(tmp_path, _FILE.replace(old, new, 1))
    assert words in said
    assert str(tmp_path / "privyseal.toml") in said
    assert "pydantic" not in said


def test_tls_and_plaintext_contradict_each_other(tmp_path: Path) -> None:
    """A server can't have both, so that nobody believes in the wrong one."""
    tls = 'certificate_file = "a"\nprivate_key_file = "b"\nclient_ca_file = "c"\n'
    words = mistake(tmp_path, f"{_FILE}\n[server.tls]\n{tls}")
    assert "server.allow_plaintext_on_loopback contradicts server.tls; drop one" in words


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_can_not_be_read(tmp_path: Path, content: bytes | None) -> None:
    """The answer says how to get a configuration."""
    path = tmp_path / "privyseal.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigInvalid, match=re.escape(str(path))) as caught:
        load_config(path, {})
    assert "'privyseal init DIRECTORY' writes a configuration" in str(caught.value)


_VAULT = """\
[vault]
address = "https://vault.test:8200"
"""
_VAULT_FILE = re.sub(r"url = .*\nkey_file = .*", 'url = "vault://signer/keys"', _FILE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_VAULT_FILE, "store.url names Vault: add a section [vault] with its address"),
        (_VAULT_FILE + _VAULT, "vault.auth is 'token-file': set vault.token_file"),
        (
            _VAULT_FILE + _VAULT + 'auth = "approle"\nrole_id_file = "a"\n',
            "vault.auth is 'approle': set vault.secret_id_file",
        ),
        (_VAULT_FILE + _VAULT + 'auth = "github"\n', "vault.auth: "),
        (_VAULT_FILE + '[vault]\naddress = "vault:8200"\n', "vault.address: "),
        (_VAULT_FILE + _VAULT + 'token = "hvs.x"\ntoken_file = "t"\n', "vault.token is no setting"),
    ],
)
def test_a_vault_that_is_half_configured(tmp_path: Path, text: str, words: str) -> None:
    """What Vault needs is asked for by name; a token itself has no place in the file."""
    assert words in mistake(tmp_path, text)


def test_a_vault_url_is_mount_and_prefix(tmp_path: Path) -> None:
    """The first part of the path is the mount."""
    config = load(tmp_path, _VAULT_FILE + _VAULT + 'token_file = "token"\n')
    assert config.store.mount_and_prefix == ("signer", "keys")
    assert config.vault is not None
    assert config.vault.token_file == tmp_path / "token"


def test_the_effective_settings_hold_no_secret(tmp_path: Path) -> None:
    """What `config check` prints are settings with their defaults, and paths of secrets."""
    (tmp_path / "store.key").write_text("canary")
    effective: Mapping[str, Any] = load(tmp_path).effective()
    assert effective["store"]["key_file"] == str(tmp_path / "store.key")
    assert effective["server"]["grace_ms"] == 20_000
    assert "vault" not in effective
    assert "canary" not in str(effective)


def test_a_configuration_does_not_change(tmp_path: Path) -> None:
    """Settings are read once."""
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path).server.listen = "0.0.0.0:1"


_WORKERS = """\
[server]
allow_plaintext_on_loopback = true
workers = 2

[store]
url = "vault://signer/keys"

[vault]
address = "https://vault.test:8200"
auth = "approle"
role_id_file = "role-id"
secret_id_file = "secret-id"

[state]
url = "valkeys://valkey.test"
path = "nonces.high-water"

[policy]
file = "policy.yaml"

[audit]
file = "audit.jsonl"
"""


def test_workers_need_what_they_share(tmp_path: Path) -> None:
    """Several processes start where nothing of theirs is for one process alone."""
    assert load(tmp_path, _WORKERS).server.workers == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('url = "valkeys://valkey.test"', "", "state that they share: set state.url = 'valkey://"),
        (
            '"vault://signer/keys"',
            '"embedded:///store.db"\nkey_file = "store.key"',
            "needs a store that they share: keep the keys in Vault (store.url = 'vault://",
        ),
        ('file = "audit.jsonl"', "", "needs audit.file: each worker writes one of its own"),
        (
            'auth = "approle"',
            'auth = "approle"\nsecret_id_is_wrapped = true',
            "needs a secret id that all can use: a wrapped one opens once",
        ),
        ("workers = 2", "workers = 0", "server.workers: Input should be greater"),
        ("workers = 2", "workers = 65", "server.workers: Input should be less"),
    ],
)
def test_workers_share_nothing_that_is_for_one(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    """What only one process may use is refused, with what to set instead."""
    assert old in _WORKERS
    said = mistake(tmp_path, _WORKERS.replace(old, new))
    assert words in said
    if "workers = 2" not in old:
        assert "server.workers = 2 needs" in said


def test_venue_clocks_that_are_far_ahead_need_a_state_of_ones_own(tmp_path: Path) -> None:
    """A shared state gives no nonce that far ahead of its clock; what is behind is no trouble."""
    venue = "\n[venues.whitebit]\nclock_offset_ms = "

    for shared in ("3000", "-60000", '"estimate"'):
        load(tmp_path, _WORKERS + venue + shared)
    said = mistake(tmp_path, _WORKERS + venue + "3001")
    assert "venues.whitebit.clock_offset_ms is above 3000" in said
    own = _WORKERS.replace('url = "valkeys://valkey.test"', "").replace("workers = 2", "")
    load(tmp_path, own + venue + "60000")


def test_the_file_of_holds_stands_where_this_server_keeps_its_own(tmp_path: Path) -> None:
    """Beside the state's file; without one beside the escrow directory; or where it is named."""
    shared = _FILE.replace(
        'path = "nonces.high-water"', 'url = "valkeys://valkey.test"\n[escrow]\npath = "lib/escrow"'
    )
    named = _FILE + '[holds]\npath = "other/holds"\n'
    assert (tmp_path / "holds.json", tmp_path / "lib/holds.json", tmp_path / "other/holds") == (
        load(tmp_path).holds_path,
        load(tmp_path, shared).holds_path,
        load(tmp_path, named).holds_path,
    )


@pytest.mark.parametrize("address", ["http://127.0.0.1:8200", "http://[::1]:1", "https://v:8200"])
def test_loopback_and_tls_need_no_word(address: str) -> None:
    """What no network carries in clear is taken as it is; the rest by an explicit name alone."""
    for url, is_allowed in ((address, False), ("http://other:1", True)):
        vault = VaultConfig(address=url, token_file=Path("t"), allow_plaintext=is_allowed)
        venue = VenueConfig(base_urls={"production": url}, allow_plaintext=is_allowed)
        assert (vault.address, venue.base_urls["production"]) == (url, url)
