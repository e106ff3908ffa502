from pathlib import Path

import pytest
from pydantic import ValidationError

from privyseald.state_config import StateConfig, Topology


@pytest.mark.parametrize(
    ("url", "topology", "addresses", "db", "is_tls"),
    [
        ("valkey://localhost", Topology.SERVER, [("localhost", 6379)], 0, False),
        ("redis://127.0.0.1:7000/12", Topology.SERVER, [("127.0.0.1", 7000)], 12, False),
        ("valkeys://v.example.com/0", Topology.SERVER, [("v.example.com", 6379)], 0, True),
        ("rediss://[2001:db8::1]:7000", Topology.SERVER, [("2001:db8::1", 7000)], 0, True),
        ("valkey://[::1]", Topology.SERVER, [("::1", 6379)], 0, False),
        (
            "valkeys+sentinel://a,b:7/desk/3",
            Topology.SENTINEL,
            [("a", 26379), ("b", 7)],
            3,
            True,
        ),
        ("redis+sentinel://localhost/desk", Topology.SENTINEL, [("localhost", 26379)], 0, False),
        ("rediss+cluster://a,b:7", Topology.CLUSTER, [("a", 6379), ("b", 7)], 0, True),
        ("valkeys+cluster://a/", Topology.CLUSTER, [("a", 6379)], 0, True),
    ],
)
def test_a_url_says_what_is_where(
    url: str, topology: Topology, addresses: list[tuple[str, int]], db: int, *, is_tls: bool
) -> None:
    """Each form is read for what it means, with the usual ports where it names none."""
    config = StateConfig(url=url)

    assert (topology, tuple(addresses), db) == (config.topology, config.addresses, config.db)
    assert is_tls == config.is_tls
    if topology is Topology.SENTINEL:
        assert "desk" == config.service


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "etcd://a"}, "must be 'embedded'"),
        ({"url": "valkey://"}, "must be 'embedded'"),
        ({"url": "valkeys://a b"}, "must be 'embedded'"),
        ({"url": "valkeys://a?db=1"}, "must be 'embedded'"),
        ({"url": "valkeys://user:hunter2@a"}, "state.username and state.password_file"),
        ({"url": "valkeys://a:65536"}, "port above 65535"),
        ({"url": "valkeys://a,b"}, "several hosts"),
        ({"url": "valkeys://a/x"}, "database's number"),
        ({"url": "valkeys://a/1/2"}, "database's number"),
        ({"url": "valkeys+cluster://a/1"}, "a cluster has one only"),
        ({"url": "valkeys+sentinel://a"}, "name under which the sentinels"),
        ({"url": "valkeys+sentinel://a/1"}, "name under which the sentinels"),
        ({"url": "valkeys+sentinel://a/desk/x"}, "database's number"),
        ({"url": "valkey://10.0.0.1"}, "state.allow_plaintext"),
        ({"url": "valkey+cluster://localhost,10.0.0.1"}, "state.allow_plaintext"),
        ({"url": "embedded"}, "state.path is missing"),
        ({"url": "valkeys://a", "prefix": "{a}"}, "prefix"),
        ({"url": "valkeys://a", "username": "a b", "password_file": "p"}, "username"),
        ({"url": "valkeys://a", "username": "u"}, "needs state.password_file"),
        ({"url": "valkeys://a", "certificate_file": "c"}, "go together"),
        ({"url": "valkeys://a", "private_key_file": "c"}, "go together"),
        ({"url": "valkey://localhost", "ca_file": "c"}, "are for TLS"),
        ({"url": "valkeys://a", "sentinel_password_file": "p"}, "valkey+sentinel:// alone"),
        ({"url": "valkeys://a", "timeout_ms": 0}, "timeout_ms"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(settings: dict[str, str], words: str) -> None:
    """Before anything is connected to, and without a password that stands in a URL."""
    with pytest.raises(ValidationError) as caught:
        StateConfig.model_validate(settings)

    told = "\n".join(f"{each['loc']} {each['msg']}" for each in caught.value.errors())
    assert words in told
    assert "hunter2" not in told


def test_plaintext_to_another_host_must_be_asked_for() -> None:
    """For networks that nobody else can reach."""
    config = StateConfig(url="valkey://10.0.0.1", allow_plaintext=True, path=Path("unused"))

    assert not config.is_tls
