"""What renders and judges the chart: Helm 4 and, where it was built, Helm 3; both real."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "privyseal"
VENV = ROOT / ".venv-helm"
TOOLS = ROOT / ".tools"
RELEASE, NAMESPACE = "desk", "trading"
# The oldest that the chart takes, to the newest of which there are schemas.
VERSIONS = ("1.27", "1.29", "1.31", "1.33", "1.35", "1.37")

Manifest = dict[str, Any]
Values = dict[str, Any]


class Refused(Exception):
    """Helm refused the values; the text is what a person sees."""


class Engine:
    """Helm 4, in a process of its own. Use `close`."""

    def __init__(self) -> None:
        python: Path = VENV / "bin" / "python"
        if not python.exists():
            raise FileNotFoundError("there is no .venv-helm: run 'make helm' once")
        self._process = subprocess.Popen(
            [python, Path(__file__).with_name("engine_process.py"), CHART],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=10)

    def templates(self, values: Values, *, is_upgrade: bool = False) -> dict[str, str]:
        """Return what each template rendered to. Raises Refused."""
        answer: dict[str, str] = self._ask(
            do="render",
            values=values,
            release=RELEASE,
            namespace=NAMESPACE,
            is_upgrade=is_upgrade,
        )
        return {name.removeprefix("privyseal/templates/"): text for name, text in answer.items()}

    def render(self, values: Values, *, is_upgrade: bool = False) -> list[Manifest]:
        """Return all objects, in an order of their own. Raises Refused."""
        texts = self.templates(values, is_upgrade=is_upgrade)
        texts.pop("NOTES.txt")
        return sort_objects(objects for text in texts.values() for objects in read_yaml(text))

    def lint(self, values: Values) -> list[str]:
        """Return what a strict lint has to say."""
        findings: list[str] = self._ask(do="lint", values=values)
        return findings

    def validate(self, manifest: Manifest, version: str) -> str:
        """Return what is wrong with an object for a version of Kubernetes."""
        return str(self._ask(do="validate", object=manifest, version=version))

    def version(self) -> str:
        """Return which Helm this is."""
        return str(self._ask(do="engine"))

    def _ask(self, **question: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer["answer"]


def helm3(values: Values, *options: str, chart: Path = CHART) -> list[Manifest]:
    """Return all objects as Helm 3 renders them. Raises Refused."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "values.json"
        file.write_text(json.dumps(values))
        arguments: list[str] = [
            *("template", RELEASE, str(chart), "--namespace", NAMESPACE),
            *("--kube-version", "1.33", "--values", str(file), *options),
        ]
        done = subprocess.run(
            [tool("helm"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": folder},
        )
    if done.returncode:
        raise Refused(done.stderr)
    return sort_objects(read_yaml(done.stdout))


def tool(name: str) -> Path:
    """Return a program of tests/helm/tools, which `make helm` builds where there is Go."""
    return TOOLS / name


def has_tool(name: str) -> bool:
    """Whether it was built."""
    return shutil.which(tool(name)) is not None


def read_yaml(text: str) -> list[Manifest]:
    """Return the documents of a text that are not empty, by the YAML that Kubernetes reads."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    return [document for document in yaml.load_all(text) if document]


def sort_objects(objects: Iterable[Manifest]) -> list[Manifest]:
    """Return the objects by kind and name."""
    return sorted(objects, key=lambda each: (each["kind"], each["metadata"]["name"]))


def the(objects: Iterable[Manifest], kind: str, name: str = "") -> Manifest:
    """Return the one object of a kind, perhaps by how its name ends."""
    found = [
        each
        for each in objects
        if each["kind"] == kind
        and each["metadata"]["name"].endswith(name or f"{RELEASE}-privyseal")
    ]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def workload(objects: Iterable[Manifest]) -> Manifest:
    """Return the Deployment or StatefulSet of the service."""
    found = [
        each
        for each in objects
        if each["kind"] in {"Deployment", "StatefulSet"}
        and each["metadata"]["labels"]["app.kubernetes.io/component"] == "server"
    ]
    assert len(found) == 1
    return found[0]


def pod_of(objects: Iterable[Manifest]) -> Manifest:
    """Return the pod's spec of the service."""
    spec: Manifest = workload(objects)["spec"]["template"]["spec"]
    return spec


def pods(objects: Iterable[Manifest]) -> list[tuple[str, Manifest]]:
    """Return the specs of all pods, with the names of what makes them."""
    specs = []
    for each in objects:
        if each["kind"] == "Pod":
            specs.append((each["metadata"]["name"], each["spec"]))
        elif "template" in each.get("spec", {}):
            specs.append((each["metadata"]["name"], each["spec"]["template"]["spec"]))
    return specs
