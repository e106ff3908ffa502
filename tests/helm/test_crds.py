"""Objects of other operators, by schemas that say of each what its CRD allows."""

import json
from pathlib import Path

import jsonschema
import pytest

from helm.cases import CASES
from helm.engine import Engine, Manifest, pod_of, the

_SCHEMAS = {
    path.stem: json.loads(path.read_text())
    for path in (Path(__file__).parent / "schemas").glob("*.json")
}


def mistakes(manifest: Manifest) -> list[str]:
    """Return what is wrong with an object."""
    validator = jsonschema.Draft202012Validator(_SCHEMAS[manifest["kind"]])
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


@pytest.mark.parametrize("kind", _SCHEMAS)
def test_each_is_what_its_operator_reads(engine: Engine, kind: str) -> None:
    """In every case that has one."""
    found = [
        each for values in CASES.values() for each in engine.render(values) if each["kind"] == kind
    ]

    assert found
    assert [mistakes(each) for each in found] == [[] for _ in found]


def test_a_slip_is_found(engine: Engine) -> None:
    """So nothing found means something."""
    monitor = the(engine.render(CASES["monitoring"]), "ServiceMonitor")
    monitor["spec"]["endpoints"][0]["pace"] = "15s"

    assert "pace" in mistakes(monitor)[0]


@pytest.mark.parametrize("algorithm", ["RSA", "ECDSA", "Ed25519"])
def test_each_kind_of_key_has_a_size_that_there_is(engine: Engine, algorithm: str) -> None:
    """Where none is given: the issuer's operator takes its own."""
    values = json.loads(json.dumps(CASES["cert-manager"]))
    values["tls"]["certManager"]["privateKey"]["algorithm"] = algorithm
    certificate = the(engine.render(values), "Certificate")

    assert mistakes(certificate) == []
    assert "size" not in certificate["spec"]["privateKey"]
    certificate["spec"]["privateKey"]["size"] = 257
    assert bool(mistakes(certificate)) == (algorithm != "Ed25519")


def test_the_monitor_finds_one_service_and_its_port(engine: Engine) -> None:
    """The headless one alone: by two, each pod would be scraped twice."""
    objects = engine.render(CASES["monitoring"])
    spec = the(objects, "ServiceMonitor")["spec"]

    wanted = spec["selector"]["matchLabels"].items()
    services = [each for each in objects if each["kind"] == "Service"]
    found = [each for each in services if wanted <= each["metadata"]["labels"].items()]
    assert [each["metadata"]["name"] for each in found] == ["desk-privyseal-headless"]
    ports = {port["name"] for port in found[0]["spec"]["ports"]}
    assert spec["endpoints"][0]["port"] in ports


def test_the_pod_monitor_finds_the_pods(engine: Engine) -> None:
    """By a port of theirs."""
    objects = engine.render(CASES["pod-monitor"])
    spec = the(objects, "PodMonitor")["spec"]

    ports = {port["name"] for port in pod_of(objects)["containers"][0]["ports"]}
    assert spec["podMetricsEndpoints"][0]["port"] in ports


def test_the_certificate_is_for_all_names_of_the_services(engine: Engine) -> None:
    """And goes into the Secret that the pods mount."""
    objects = engine.render(CASES["cert-manager"])
    spec = the(objects, "Certificate")["spec"]

    for service in (each for each in objects if each["kind"] == "Service"):
        name = service["metadata"]["name"]
        assert {
            name,
            f"{name}.trading",
            f"{name}.trading.svc",
            f"{name}.trading.svc.cluster.local",
        } <= {*spec["dnsNames"]}
    secrets = [
        volume["secret"]["secretName"]
        for volume in pod_of(objects)["volumes"]
        if volume["name"] == "tls"
    ]
    assert secrets == [spec["secretName"]]
    assert spec["privateKey"] == {"algorithm": "Ed25519", "rotationPolicy": "Always"}
