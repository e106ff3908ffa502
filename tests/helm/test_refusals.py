"""What can't be right is refused, with a sentence that says what to set."""

from typing import Any

import pytest
from pydantic import ValidationError

from helm.engine import Engine, Refused, has_tool, helm3
from privyseald.state_config import StateConfig

_NO_DISK = {"enabled": False}
_VALKEY = {"url": "valkeys://valkey.example.com:6379/0"}

# What the schema refuses as well, before anything is rendered.
NOT_SHARED: dict[str, tuple[dict[str, Any], str, str]] = {
    "replicas": ({"replicaCount": 2}, "set state.url to a Valkey", "state.url of a Valkey"),
    "autoscaling": (
        {"autoscaling": {"enabled": True}},
        "set state.url to a Valkey",
        "state.url of a Valkey",
    ),
    "workers": (
        {"config": {"server": {"workers": 2}}, "audit": {"destination": "file"}},
        "set state.url to a Valkey",
        "state.url of a Valkey",
    ),
    "replicas of an embedded store": (
        {
            "replicaCount": 2,
            "state": _VALKEY,
            "embeddedStore": {"enabled": True, "existingSecret": "key"},
        },
        "keep the keys in Vault (embeddedStore.enabled=false)",
        "keys in Vault (embeddedStore.enabled=false)",
    ),
}

SENTENCES: dict[str, tuple[dict[str, Any], str]] = {
    "workers without audit files": (
        {"config": {"server": {"workers": 2}}, "state": _VALKEY},
        "audit.destination=file",
    ),
    "two Valkeys": ({"valkey": {"enabled": True}, "state": _VALKEY}, "drop one of them"),
    "an open Valkey": (
        {"valkey": {"enabled": True}, "networkPolicy": {"enabled": False}},
        "networkPolicy.enabled=true",
    ),
    "nonces without a disk": ({"persistence": _NO_DISK}, "set persistence.enabled=true"),
    "escrow without a disk": (
        {"persistence": _NO_DISK, "state": _VALKEY, "keyCreation": {"enabled": True}},
        "set persistence.enabled=true",
    ),
    "audit files without a disk": (
        {"persistence": _NO_DISK, "state": _VALKEY, "audit": {"destination": "file"}},
        "audit.destination=stdout",
    ),
    "an embedded store without a key": (
        {"embeddedStore": {"enabled": True}},
        "head -c 32 /dev/urandom",
    ),
    "an embedded store without a disk": (
        {
            "embeddedStore": {"enabled": True, "existingSecret": "key"},
            "persistence": _NO_DISK,
            "state": _VALKEY,
        },
        "set persistence.enabled=true",
    ),
    "AppRole without ids": (
        {"vault": {"auth": {"method": "approle"}}},
        "needs vault.auth.existingSecret",
    ),
    "a login without a role": ({"vault": {"auth": {"role": ""}}}, "needs vault.auth.role"),
    "Vault in plaintext": ({"vault": {"address": "http://vault:8200"}}, "allowPlaintext=true"),
    "Valkey in plaintext": ({"state": {"url": "valkey://valkey:6379/0"}}, "use valkeys://"),
    "a user without a password": (
        {"state": {**_VALKEY, "username": "privyseal"}},
        "need state.existingSecret",
    ),
    "two certificates": (
        {"tls": {"certManager": {"enabled": True}, "csi": {"enabled": True}}},
        "choose one",
    ),
    "a certificate of nobody": (
        {"tls": {"certManager": {"enabled": True}}},
        "tls.certManager.issuerRef.name is missing",
    ),
    "a socket without a helper": (
        {"tls": {"csi": {"enabled": True, "driver": "csi.spiffe.io"}}},
        "add a helper to extraContainers",
    ),
    "callers without a proof": ({"tls": {"clientCa": {"enabled": False}}}, "set jwt.enabled=true"),
    "tokens of nobody": ({"jwt": {"enabled": True}}, "set jwt.issuers"),
    "tokens that nobody reads": (
        {"config": {"server": {"jwt": {"leeway_ms": 1}}}},
        "set jwt.enabled=true",
    ),
    "an API server that can't be reached": (
        {"jwt": {"enabled": True, "kubernetes": {"enabled": True}}},
        "networkPolicy.kubernetesApi.cidrs",
    ),
    "two scrapes": (
        {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
        "choose one",
    ),
    "a Valkey's password without a Valkey": (
        {"state": {"existingSecret": "valkey"}},
        "state.existingSecret is for a Valkey, and state.url is embedded",
    ),
    "a CA for the Valkey to try": (
        {"valkey": {"enabled": True}, "state": {"ca": {"existingSecret": "ca"}}},
        "drop it",
    ),
    "a CA without TLS": (
        {
            "state": {
                "url": "valkey://valkey",
                "allowPlaintext": True,
                "ca": {"existingSecret": "ca"},
            }
        },
        "use valkeys://",
    ),
    "a password of no sentinels": (
        {"state": {**_VALKEY, "existingSecret": "key", "sentinelPasswordKey": "sentinel"}},
        "use valkeys+sentinel://",
    ),
    "two CAs": (
        {"vault": {"ca": {"existingConfigMap": "a", "existingSecret": "b"}}},
        "vault.ca.existingConfigMap and vault.ca.existingSecret both",
    ),
    "two policies": (
        {"policy": {"document": "version: 1", "existingConfigMap": "ours"}},
        "both bring a policy",
    ),
    "labels that selectors need": (
        {"commonLabels": {"app.kubernetes.io/name": "signer"}},
        "nameOverride sets the name",
    ),
    "labels of pods that selectors need": (
        {"podLabels": {"app.kubernetes.io/component": "signer"}},
        "podLabels has app.kubernetes.io/component",
    ),
    # Workers on one disk, a state beside the checked one, a drain beside the reckoned one.
    "settings behind the chart's back": (
        {"extraEnv": [{"name": "PRIVYSEAL__SERVER__WORKERS", "value": "3"}]},
        "set it under config",
    ),
    "two at one port": ({"ports": {"ops": 7443}}, "ports.grpc and ports.ops are both 7443"),
    "a port above all": (
        {"vault": {"address": "https://vault.vault.svc:82000"}},
        "vault.address has the port 82000",
    ),
    "an autoscaler that leaves keys behind": (
        {
            "autoscaling": {"enabled": True},
            "keyCreation": {"enabled": True},
            "state": _VALKEY,
        },
        "the only copy of a key",
    ),
    "a group that nobody named": (
        {"podSecurityContext": {"fsGroup": None}, "tls": {"csi": {"enabled": True}}},
        "tls.csi.volumeAttributes.spiffe.csi.cert-manager.io/fs-group",
    ),
    "a key of a size that there is not": (
        {
            "tls": {
                "certManager": {
                    "enabled": True,
                    "issuerRef": {"name": "desk"},
                    "privateKey": {"algorithm": "RSA", "size": 256},
                }
            }
        },
        "leave it at 0",
    ),
    "an issuer that can't be reached": (
        {
            "jwt": {
                "enabled": True,
                "issuers": {
                    "desk": {
                        "issuer": "https://login.example.com",
                        "audience": "privyseal",
                        "jwks_url": "https://login.example.com/jwks.json",
                    }
                },
            }
        },
        "networkPolicy.extraEgress",
    ),
    "fewer than at least": (
        {"autoscaling": {"enabled": True, "maxReplicas": 1}, "state": _VALKEY},
        "is below autoscaling.minReplicas",
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_sentence_says_what_to_set(engine: Engine, name: str) -> None:
    """One that a person can act on."""
    values, words = SENTENCES[name]

    with pytest.raises(Refused) as refused:
        engine.render(values)
    assert words in str(refused.value)


@pytest.mark.parametrize("name", NOT_SHARED)
def test_the_schema_refuses_what_can_not_be_shared(engine: Engine, name: str) -> None:
    """What is missing bears the name of what to set."""
    values, _, words = NOT_SHARED[name]

    with pytest.raises(Refused) as refused:
        engine.render(values)
    assert f"missing property '{words}" in str(refused.value)


@pytest.mark.parametrize("name", NOT_SHARED)
def test_it_is_refused_without_the_schema_too(name: str) -> None:
    """Who turns the schema off reads the sentence of the templates."""
    if not has_tool("helm"):
        pytest.skip("Helm 3 is not built: that takes Go")
    values, words, _ = NOT_SHARED[name]

    with pytest.raises(Refused) as refused:
        helm3(values, "--skip-schema-validation")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicaCoun": 2}, "additional properties 'replicaCoun' not allowed"),
        ({"vault": {"place": "x"}}, "'place' not allowed"),
        ({"config": {"server": {"drain_ms": 1}}}, "'drain_ms' not allowed"),
        ({"config": {"server": {"listen": "0.0.0.0:1"}}}, "'listen' not allowed"),
        ({"config": {"store": {"key_file": "x"}}}, "'key_file' not allowed"),
        ({"config": {"log": {"level": "loud"}}}, "at '/config/log/level'"),
        ({"config": {"venues": {"kiiex": {"url": "x"}}}}, "'url' not allowed"),
        ({"replicaCount": "two"}, "at '/replicaCount'"),
        ({"image": {"digest": "sha256:1"}}, "at '/image/digest'"),
        ({"vault": {"auth": {"method": "password"}}}, "at '/vault/auth/method'"),
        ({"state": {"url": "valkeys://user:secret@host/0"}}, "at '/state/url'"),
        ({"jwt": {"issuers": {"a": {"isuer": "x"}}}}, "'isuer' not allowed"),
        ({"ports": {"grpc": 443}}, "at '/ports/grpc'"),
    ],
)
def test_a_value_that_is_none_is_refused(
    engine: Engine, values: dict[str, Any], words: str
) -> None:
    """Down to the settings of the service, whose own schema it is."""
    with pytest.raises(Refused) as refused:
        engine.render(values)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "embedded",
        "valkeys://valkey.example.com",
        "rediss://[2001:db8::7]:6380/15",
        "valkeys+sentinel://a:26379,b.c.svc:26379/trading/0",
        "valkeys+sentinel://a/trading",
        "valkeys+cluster://a:6379,b",
        "valkeys+cluster://a/",
        "valkeys://valkey:6379:0",
        "valkeys://a,b",
        "valkeys://a/x",
        "valkeys://a/1/2",
        "valkeys+sentinel://a",
        "valkeys+sentinel://a/0",
        "valkeys+sentinel://a/trading/x",
        "valkeys+cluster://a/0",
        "valkeys://",
        "valkeys://user:secret@a",
        "valkeys://a:70000",
        "valkey.example.com:6379",
        "http://valkey",
    ],
)
def test_a_url_of_the_state_is_what_the_service_takes(engine: Engine, url: str) -> None:
    """No more, or pods would not start; and no less."""
    try:
        StateConfig.model_validate({"url": url, "path": "state"})
    except ValidationError:
        with pytest.raises(Refused):
            engine.render({"state": {"url": url}})
    else:
        engine.render({"state": {"url": url}})


def test_a_parent_chart_may_set_what_is_global(engine: Engine) -> None:
    """Whatever that is."""
    assert engine.render({"global": {"anything": {"at": "all"}}})
