"""What the chart renders to: by two Helms alike, as its snapshots say, valid for Kubernetes."""

import difflib
import io
import json
import os
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from helm.cases import CASES
from helm.engine import (
    NAMESPACE,
    VERSIONS,
    Engine,
    Manifest,
    has_tool,
    helm3,
    pod_of,
    read_yaml,
    the,
    workload,
)

_SNAPSHOTS = Path(__file__).parent / "snapshots"
_CRDS = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "Certificate"}


def text_of(objects: list[Manifest]) -> str:
    """Return the objects as text, without what is long and tested elsewhere."""
    yaml = YAML(pure=True)
    yaml.width = 200
    stream = io.StringIO()
    shortened = []
    for each in objects:
        manifest = json.loads(json.dumps(each))
        if manifest["kind"] == "PrometheusRule":
            manifest["spec"] = "the alerts"
        if manifest["metadata"]["name"].endswith("-dashboard"):
            manifest["data"] = "the dashboard"
        if manifest["kind"] == "Pod":
            manifest["spec"]["containers"][0]["args"] = ["the script"]
        shortened.append(manifest)
    yaml.dump_all(shortened, stream)
    return stream.getvalue()


@pytest.mark.parametrize("name", CASES)
def test_it_renders_to_what_was_seen(engine: Engine, name: str) -> None:
    """The defaults are a snapshot, each other case what is different from them. To take them
    anew, run with WRITE_SNAPSHOTS=1, and read what Git shows.
    """
    defaults, text = text_of(engine.render({})), text_of(engine.render(CASES[name]))
    if name == "defaults":
        file = _SNAPSHOTS / "defaults.yaml"
    else:
        file = _SNAPSHOTS / f"{name}.diff"
        lines = (defaults.splitlines(keepends=True), text.splitlines(keepends=True))
        text = "".join(difflib.unified_diff(*lines, "defaults", name))
    if os.environ.get("WRITE_SNAPSHOTS"):
        file.write_text(text)

    assert file.read_text() == text


def test_no_snapshot_is_of_a_case_that_is_gone() -> None:
    """Each file has its case."""
    assert {file.stem for file in _SNAPSHOTS.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_helm_3_renders_the_same(engine: Engine, name: str) -> None:
    """Object by object, field by field."""
    if not has_tool("helm"):
        pytest.skip("Helm 3 is not built: that takes Go")

    assert helm3(CASES[name]) == engine.render(CASES[name])


def test_this_is_helm_4(engine: Engine) -> None:
    """The engine of the other tests is of the new generation."""
    assert engine.version().startswith("v4.")


@pytest.mark.parametrize("name", CASES)
def test_lint_has_nothing_to_say(engine: Engine, name: str) -> None:
    """But that there is no icon."""
    assert engine.lint(CASES[name]) == ["Chart.yaml: icon is recommended"]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(engine: Engine, version: str) -> None:
    """Strictly: a field that does not exist is a mistake. CRDs have tests of their own."""
    unique = {
        json.dumps(each, sort_keys=True): each
        for values in CASES.values()
        for each in engine.render(values)
        if each["kind"] not in _CRDS
    }

    found = {
        f"{each['kind']} {each['metadata']['name']}": mistake
        for each in unique.values()
        if (mistake := engine.validate(each, version))
    }
    assert len(unique) > 80
    assert found == {}


def test_the_validator_finds_a_slip(engine: Engine) -> None:
    """A misspelt field is found, so nothing found means something."""
    deployment = workload(engine.render({}))
    deployment["spec"]["template"]["spec"]["terminationGraceSeconds"] = 3

    assert "terminationGraceSeconds" in engine.validate(deployment, "1.33")


def test_every_object_says_whose_it_is(engine: Engine) -> None:
    """The labels that Kubernetes recommends, and the release's namespace."""
    for each in engine.render({**CASES["production"]}):
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "desk", each["kind"]
        assert labels["app.kubernetes.io/name"] == "privyseal", each["kind"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm", each["kind"]
        assert each["metadata"]["namespace"] == NAMESPACE, each["kind"]


def test_common_labels_are_everywhere_but_in_selectors(engine: Engine) -> None:
    """So they may be changed in a release that is there."""
    objects = engine.render({**CASES["production"], "commonLabels": {"team": "custody"}})

    assert all(each["metadata"]["labels"]["team"] == "custody" for each in objects)
    assert "custody" not in json.dumps([each.get("spec", {}).get("selector") for each in objects])
    assert workload(objects)["spec"]["template"]["metadata"]["labels"]["team"] == "custody"


def test_no_label_is_there_twice(engine: Engine) -> None:
    """Also where a common label takes the place of one of the chart's: parsers differ then."""
    values = {**CASES["production"], "commonLabels": {"app.kubernetes.io/part-of": "trading"}}

    for name, text in engine.templates(values).items():
        if name == "NOTES.txt":
            continue
        for each in read_yaml(text):
            assert each["metadata"]["labels"]["app.kubernetes.io/part-of"] == "trading", name


def test_a_deployment_that_is_recreated_does_not_roll(engine: Engine) -> None:
    """The API server refuses both in one."""
    assert workload(engine.render(CASES["recreate"]))["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({}, 66),
        ({"config": {"server": {"drain_delay_ms": 1, "grace_ms": 0}}}, 11),
        ({"config": {"server": {"drain_delay_ms": 30000, "grace_ms": 60000}}}, 100),
        ({"terminationSlackSeconds": 1}, 57),
        ({"keyCreation": {"enabled": True}}, 166),
        ({"keyCreation": {"enabled": True}, "config": {"outbound": {"timeout_ms": 20000}}}, 206),
    ],
)
def test_the_kubelet_waits_for_the_end(engine: Engine, values: Manifest, seconds: int) -> None:
    """Drain delay and grace, and what a key at a venue may take, and ten seconds more."""
    pod = pod_of(engine.render(values))

    assert pod["terminationGracePeriodSeconds"] == seconds


def test_probes_ask_the_operations_port(engine: Engine) -> None:
    """Live is not ready, and both are asked in gRPC and in plaintext."""
    container = pod_of(engine.render({}))["containers"][0]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}

    asked = {
        name: container[f"{name}Probe"]["grpc"]["service"]
        for name in ("startup", "liveness", "readiness")
    }
    assert asked == {"startup": "liveness", "liveness": "liveness", "readiness": "readiness"}
    assert {container[f"{name}Probe"]["grpc"]["port"] for name in asked} == {ports["health"]}


def test_services_find_the_pods_ports(engine: Engine) -> None:
    """Each port of a Service is a named one of the pod."""
    for name in ("defaults", "tokens-and-certificates", "names-and-labels"):
        objects = engine.render(CASES[name])
        ports = {each["name"] for each in pod_of(objects)["containers"][0]["ports"]}
        for service in (each for each in objects if each["kind"] == "Service"):
            assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports


def test_an_autoscaler_has_the_last_word(engine: Engine) -> None:
    """With it, no upgrade sets the number of pods back."""
    objects = engine.render(CASES["autoscaling"])

    assert "replicas" not in workload(objects)["spec"]
    target = the(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target["kind"] == workload(objects)["kind"]


def test_notes_say_what_is_needed(engine: Engine) -> None:
    """The role in Vault, the Secret for TLS, and that nobody may do anything yet."""
    notes = engine.templates({})["NOTES.txt"]

    assert "auth/kubernetes/role/privyseal" in notes
    assert "bound_service_account_names=desk-privyseal" in notes
    assert "Secret desk-privyseal-tls" in notes
    assert "denies everything" in notes
    assert "There is one pod" in notes
    production = engine.templates(CASES["production"])["NOTES.txt"]
    assert "There is one pod" not in production
    assert "Secret desk-privyseal-tls" not in production


def test_connections_end_before_a_drain_does(engine: Engine) -> None:
    """So by default; who sets it otherwise is told what that costs."""
    assert "CANCELLED" not in engine.templates({})["NOTES.txt"]
    for server in ({"drain_delay_ms": 34000}, {"max_connection_age_ms": 300000}):
        assert "CANCELLED" in engine.templates({"config": {"server": server}})["NOTES.txt"]
