"""Helm 4 and Kubernetes' schemas, asked by JSON lines. It runs in an environment of its own."""

import json
import sys
from collections.abc import Callable
from functools import cache

import helm_python
import kubernetes_validate.utils
from helm_python.errors import HelmError
from kubernetes_validate import ValidationError

_CHART = sys.argv[1]
# It reads some megabytes for each object otherwise.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)


def render(question: dict[str, object]) -> object:
    """Return the manifests by template."""
    with helm_python.Chart.load(_CHART) as chart:
        return chart.render(
            question["values"],
            name=question["release"],
            namespace=question["namespace"],
            is_upgrade=question["is_upgrade"],
            is_install=not question["is_upgrade"],
        )


def lint(question: dict[str, object]) -> object:
    """Return what a strict `helm lint` finds."""
    report = helm_python.lint(_CHART, question["values"], strict=True)
    return [f"{each['path']}: {each['error']}" for each in report["messages"]]


def validate(question: dict[str, object]) -> object:
    """Return what is wrong with an object, strictly; empty if nothing is."""
    try:
        kubernetes_validate.validate(question["object"], question["version"], strict=True)
    except ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return ""


def engine(_: dict[str, object]) -> object:
    """Return which Helm this is."""
    return helm_python.helm_sdk_version()


_DO: dict[str, Callable[[dict[str, object]], object]] = {
    "render": render,
    "lint": lint,
    "validate": validate,
    "engine": engine,
}


def main() -> None:
    """Answer line by line, until there is no more."""
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"answer": _DO[question["do"]](question)}
        except HelmError as error:
            answer = {"refused": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
