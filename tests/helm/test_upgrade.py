"""From one set of values, or one release of the chart, to another: what changes, and what can't."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from helm.cases import CASES
from helm.engine import CHART, Engine, Manifest, has_tool, helm3, the, workload

_CHECKSUM = "checksum/config"


def changed(before: list[Manifest], after: list[Manifest]) -> set[str]:
    """Return what an upgrade would touch, as kinds and names."""
    old = {(each["kind"], each["metadata"]["name"]): each for each in before}
    new = {(each["kind"], each["metadata"]["name"]): each for each in after}
    return {
        f"{kind} {name}"
        for kind, name in old.keys() | new.keys()
        if old.get((kind, name)) != new.get((kind, name))
    }


def checksum(objects: list[Manifest]) -> str:
    """Return what makes pods be replaced."""
    return str(workload(objects)["spec"]["template"]["metadata"]["annotations"][_CHECKSUM])


def test_another_policy_replaces_no_pod(engine: Engine) -> None:
    """Pods read it again by themselves: only the ConfigMap is another."""
    policy = {"policy": {"document": "version: 1\nrules: [another]\n"}}

    assert changed(engine.render({}), engine.render(policy)) == {"ConfigMap desk-privyseal-policy"}


@pytest.mark.parametrize(
    "values",
    [
        {"config": {"log": {"level": "debug"}}},
        {"vault": {"address": "https://vault-2.vault.svc:8200"}},
        {"ports": {"grpc": 8443}},
    ],
)
def test_another_setting_replaces_the_pods(engine: Engine, values: dict[str, Any]) -> None:
    """The service reads its configuration once, at the start."""
    before, after = engine.render({}), engine.render(values)

    assert checksum(before) != checksum(after)
    assert "StatefulSet desk-privyseal" in changed(before, after)


def test_an_upgrade_renders_what_an_install_does(engine: Engine) -> None:
    """Nothing is random, and nothing depends on when it is asked."""
    for values in CASES.values():
        assert engine.render(values) == engine.render(values, is_upgrade=True)


def immutable(each: Manifest) -> object:
    """Return what the API server lets nobody change."""
    spec = each.get("spec", {})
    match each["kind"]:
        case "Deployment":
            return spec["selector"]
        case "StatefulSet":
            claims = [
                (claim["metadata"]["name"], claim["metadata"]["labels"])
                for claim in spec["volumeClaimTemplates"]
            ]
            return (spec["selector"], spec["serviceName"], spec["podManagementPolicy"], claims)
        case "Service":
            return spec.get("clusterIP")
    return None


@pytest.mark.parametrize("name", set(CASES) - {"names-and-labels"})
def test_what_is_immutable_stays(engine: Engine, name: str) -> None:
    """Whatever values change, but for names and what is said of the disks themselves."""
    defaults = {
        (each["kind"], each["metadata"]["name"]): immutable(each)
        for each in (*engine.render({}), *engine.render(CASES["replicas-without-disks"]))
    }

    for each in engine.render(CASES[name]):
        key = each["kind"], each["metadata"]["name"]
        assert immutable(each) == defaults.get(key, immutable(each)), key


def test_the_next_release_of_the_chart_can_follow(tmp_path: Path) -> None:
    """Its version and the image's are in labels, and in nothing that is immutable."""
    if not has_tool("helm"):
        pytest.skip("Helm 3 is not built: that takes Go")
    shutil.copytree(CHART, tmp_path / "privyseal")
    file = tmp_path / "privyseal" / "Chart.yaml"
    file.write_text(re.sub(r"0\.1\.0", "0.2.0", file.read_text()))

    for name in ("defaults", "production", "replicas-with-disks"):
        before = helm3(CASES[name])
        after = helm3(CASES[name], chart=tmp_path / "privyseal")
        assert [immutable(each) for each in before] == [immutable(each) for each in after]
        assert [each["metadata"]["name"] for each in before] == [
            each["metadata"]["name"] for each in after
        ]
        # The same image by its digest, the next one by its tag.
        image = workload(after)["spec"]["template"]["spec"]["containers"][0]["image"]
        assert image.endswith(":0.2.0") or "@sha256:" in image
        assert checksum(before) == checksum(after)


def test_a_disk_stays_when_its_pod_is_gone(engine: Engine) -> None:
    """It may hold the only copy of a key that a venue issued."""
    policy = the(engine.render({}), "StatefulSet")["spec"]["persistentVolumeClaimRetentionPolicy"]

    assert policy == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_pods_are_replaced_one_after_the_other_is_there(engine: Engine) -> None:
    """Where pods share a state; where one has it for itself, the old one goes first, as a
    StatefulSet has it.
    """
    strategy = workload(engine.render(CASES["production"]))["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert workload(engine.render({}))["kind"] == "StatefulSet"
    valkey = the(engine.render(CASES["valkey-to-try"]), "Deployment", "-valkey")
    assert valkey["spec"]["strategy"] == {"type": "Recreate"}
