"""What an attacker would look for in the manifests."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from helm.cases import CASES
from helm.engine import ROOT, Engine, Manifest, pod_of, pods, the

# https://kubernetes.io/docs/concepts/security/pod-security-standards, "Restricted"
_VOLUMES = {"configMap", "csi", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
_CHECKOV = ROOT / ".venv-checkov" / "bin" / "checkov"
# What checkov would have otherwise, and why not. One that it no longer asks for must go.
_DECLINED = {
    ("CKV_K8S_11", "CPU limits"): "throttling stands in the middle of a signature",
    ("CKV_K8S_15", "Pull always"): "a digest says which image it is; one that is there is right",
    ("CKV_K8S_43", "Digest"): "the installer's to set (image.digest): there is no registry of ours",
    ("CKV_K8S_8", "Liveness probe"): "of the pod of `helm test`, which ends by itself",
    ("CKV_K8S_9", "Readiness probe"): "the same",
}


@pytest.mark.parametrize("name", CASES)
def test_pods_are_restricted(engine: Engine, name: str) -> None:
    """Every pod of the chart is admitted where Pod Security "restricted" is enforced."""
    for owner, spec in pods(engine.render(CASES[name])):
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}, owner
        assert spec["securityContext"]["runAsNonRoot"] is True, owner
        user = None if name == "users-of-the-cluster" else 65532
        assert spec["securityContext"].get("runAsUser") == user, owner
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        for volume in spec["volumes"]:
            assert volume.keys() - {"name"} <= _VOLUMES, owner
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, owner
            assert context["capabilities"] == {"drop": ["ALL"]}, owner
            assert not context.keys() & {"privileged", "procMount"}, owner


@pytest.mark.parametrize("name", CASES)
def test_pods_have_no_token_for_the_api_server(engine: Engine, name: str) -> None:
    """The pod's token is for Vault; one for the API server is there only to read its keys."""
    objects = engine.render(CASES[name])

    assert all(spec["automountServiceAccountToken"] is False for _, spec in pods(objects))
    audiences = [
        source["serviceAccountToken"].get("audience", "API server")
        for volume in pod_of(objects)["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        if "serviceAccountToken" in source
    ]
    expected = {
        "embedded-store": [],
        "vault-approle": [],
        "vault-certificate": [],
        "vault-token-file": [],
        "tokens-of-the-cluster": ["vault", "API server"],
    }
    assert audiences == expected.get(name, ["vault"])


@pytest.mark.parametrize("name", CASES)
def test_the_service_writes_to_nothing_but_its_own(engine: Engine, name: str) -> None:
    """The image is read-only, /tmp is memory, and mounts but for the state are read-only."""
    pod = pod_of(engine.render(CASES[name]))
    container = pod["containers"][0]

    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    writable = {
        each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")
    } - {"/etc/privyseal/jwks"}
    assert writable == {"/tmp", "/var/lib/privyseal"}  # noqa: S108  # the pod's own
    for volume in pod["volumes"]:
        if "emptyDir" in volume:
            assert volume["emptyDir"]["medium"] == "Memory"
            assert volume["emptyDir"]["sizeLimit"]


def test_secrets_are_for_the_services_group_alone(engine: Engine) -> None:
    """As the service itself demands, or else it does not start."""
    seen = 0
    for name, values in CASES.items():
        pod = pod_of(engine.render(values))
        for volume in pod["volumes"]:
            if "secret" in volume:
                seen += 1
                assert volume["secret"]["defaultMode"] == 0o440, volume
            if volume.get("csi", {}).get("driver", "").endswith("cert-manager.io"):
                (group,) = (
                    value
                    for key, value in volume["csi"]["volumeAttributes"].items()
                    if key.endswith("/fs-group")
                )
                assert group == ("1000650000" if name == "users-of-the-cluster" else "65532")
        assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    assert seen > 20


def texts(value: Any) -> Iterator[str]:
    """Return all texts in an object."""
    if isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("name", CASES)
def test_no_object_holds_a_secret(engine: Engine, name: str) -> None:
    """There is no Secret, no value that takes one, and no setting but paths and names."""
    objects = engine.render(CASES[name])

    assert "Secret" not in {each["kind"] for each in objects}
    for text in texts(objects):
        assert "PRIVATE KEY" not in text
        for line in text.splitlines():
            found = re.fullmatch(
                r"\s*(\w*(?:password|token|secret|key|passphrase)\w*) = (.*)", line
            )
            if found:
                assert found[1].endswith(("_file", "_bytes")), line


def test_no_value_of_the_chart_takes_a_secret() -> None:
    """What could hold one is the name of a Secret or of a key in it."""
    values = YAML(typ="safe").load((ROOT / "helm/privyseal/values.yaml").read_text())

    def names(tree: Manifest, path: str = "") -> Iterator[str]:
        for name, child in tree.items():
            yield f"{path}{name}"
            if isinstance(child, dict):
                yield from names(child, f"{path}{name}.")

    allowed = {"existingSecret", "passwordKey", "sentinelPasswordKey", "imagePullSecrets"}
    risky = [
        name
        for name in names(values)
        if re.search("secret|password|token", name.rpartition(".")[2], re.IGNORECASE)
    ]
    assert {name.rpartition(".")[2] for name in risky} - allowed == {"token"}
    assert [name for name in risky if name.endswith(".token")] == ["ports.token"]


def peers(rule: Manifest, side: str) -> object:
    """Return who stands on a side of a rule of a NetworkPolicy."""
    return rule.get(side, "anywhere")


def policy_of(objects: list[Manifest]) -> Manifest:
    """Return the spec of the service's NetworkPolicy."""
    (found,) = (
        each
        for each in objects
        if each["kind"] == "NetworkPolicy"
        and each["metadata"]["labels"]["app.kubernetes.io/component"] == "server"
    )
    spec: Manifest = found["spec"]
    return spec


def ways_out(objects: list[Manifest]) -> list[int]:
    """Return the ports that the service may go to."""
    return [port["port"] for rule in policy_of(objects)["egress"] for port in rule["ports"]]


def test_nobody_gets_out_but_to_what_is_needed(engine: Engine) -> None:
    """DNS and Vault; Valkey where there is one; venues where the service goes there itself."""
    out = {name: ways_out(engine.render(CASES[name])) for name in CASES if "off" not in name}
    dns, vault, valkey, venues = [53, 53], [8200], [6379], [443]

    assert out["defaults"] == dns + vault
    assert out["embedded-store"] == dns
    assert out["replicas-without-disks"] == dns + vault + valkey
    assert out["production"] == dns + vault + [26379, 6379] + venues
    assert out["valkey-to-try"] == dns + vault + valkey
    assert out["custodian"] == dns + vault + venues
    assert out["venue-clock"] == dns + vault + venues
    assert out["vault-approle"] == [*dns, 443]
    assert out["vault-certificate"] == [*dns, 8200, 8201]
    assert out["valkey-cluster-certificate"] == dns + vault + [6379]
    assert out["valkey-sentinel-passwords"] == dns + vault + [26379, 26380, 6379]
    assert out["tokens-of-the-cluster"] == dns + vault + [6443]
    assert out["ipv6"] == dns + vault


def test_what_is_in_the_cluster_is_let_out_to_its_namespace_alone(engine: Engine) -> None:
    """A Vault or a Valkey by a name of the cluster; another is reached by its port alone."""
    rule = policy_of(engine.render({}))["egress"][1]
    assert peers(rule, "to") == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "vault"}}}
    ]
    rule = policy_of(engine.render(CASES["vault-approle"]))["egress"][1]
    assert peers(rule, "to") == "anywhere"
    rules = policy_of(engine.render(CASES["valkey-cluster-certificate"]))["egress"]
    assert "cache" in json.dumps(peers(rules[2], "to"))
    rules = policy_of(engine.render(CASES["valkey-of-several-namespaces"]))["egress"]
    assert peers(rules[2], "to") == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
        for name in ("a", "b")
    ]
    elsewhere = {"state": {"url": "valkeys+sentinel://a.a.svc,sentinel.example.com/trading/0"}}
    assert peers(policy_of(engine.render(elsewhere))["egress"][2], "to") == "anywhere"


def test_venues_are_on_the_internet(engine: Engine) -> None:
    """No private network, nor where clouds have their metadata, is one."""
    rule = policy_of(engine.render(CASES["production"]))["egress"][-1]

    blocks = [each["ipBlock"] for each in rule["to"]]
    assert [block["cidr"] for block in blocks] == ["0.0.0.0/0", "::/0"]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(
        blocks[0]["except"]
    )


def test_nobody_gets_in_but_callers_and_the_monitoring(engine: Engine) -> None:
    """And never both at the same port."""
    rules = policy_of(engine.render(CASES["tokens-and-certificates"]))["ingress"]

    assert [[port["port"] for port in rule["ports"]] for rule in rules] == [
        ["grpc", "grpc-token"],
        ["metrics"],
    ]
    assert peers(rules[0], "from") == [
        {"podSelector": {"matchLabels": {"privyseal-client": "true"}}}
    ]


def test_the_pod_of_helm_test_is_let_in_whoever_calls(engine: Engine) -> None:
    """And it alone beside the callers; without it, nobody else."""
    for name in ("defaults", "network-peers"):
        objects = engine.render(CASES[name])
        labels = the(objects, "Pod", "-test")["metadata"]["labels"].items()
        allowed = policy_of(objects)["ingress"][0]["from"]
        selectors = [each.get("podSelector", {}).get("matchLabels", {}) for each in allowed]
        assert any(each and each.items() <= labels for each in selectors), name
    callers = CASES["network-peers"]["networkPolicy"]["callers"]
    values = {**CASES["network-peers"], "tests": {"enabled": False}}
    assert policy_of(engine.render(values))["ingress"][0]["from"] == callers


def test_the_policy_is_for_all_pods_of_the_service(engine: Engine) -> None:
    """What it selects, the pods have."""
    for name in ("defaults", "production", "names-and-labels"):
        objects = engine.render(CASES[name])
        selected = policy_of(objects)["podSelector"]["matchLabels"].items()
        for each in objects:
            if each["kind"] in {"Deployment", "StatefulSet"}:
                assert selected <= each["spec"]["template"]["metadata"]["labels"].items()


def test_the_valkey_to_try_is_reached_by_the_service_alone(engine: Engine) -> None:
    """It has no password."""
    objects = engine.render(CASES["valkey-to-try"])
    (policy,) = (
        each["spec"]
        for each in objects
        if each["kind"] == "NetworkPolicy" and each["metadata"]["name"].endswith("-valkey")
    )

    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "server"
    assert policy["egress"] == []


def test_checkov_finds_nothing(engine: Engine, tmp_path: Path) -> None:
    """But what is skipped, for a reason."""
    if not _CHECKOV.exists():
        pytest.fail("there is no .venv-checkov: run 'make helm'")
    yaml = YAML(typ="safe", pure=True)
    for name in ("defaults", "production", "valkey-to-try", "custodian", "csi-cert-manager"):
        with (tmp_path / f"{name}.yaml").open("w") as file:
            yaml.dump_all(engine.render(CASES[name]), file)

    done = subprocess.run(
        [
            *(_CHECKOV, "--directory", tmp_path, "--framework", "kubernetes"),
            *("--compact", "--quiet", "--skip-download", "--output", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    report = json.loads(done.stdout)
    failed = {
        (check["check_id"], check["resource"].partition(".")[0])
        for check in report["results"]["failed_checks"]
    }
    assert report["summary"]["passed"] > 300
    assert {check for check, _ in failed} == {check for check, _ in _DECLINED}
    assert {kind for check, kind in failed if check in {"CKV_K8S_8", "CKV_K8S_9"}} == {"Pod"}
