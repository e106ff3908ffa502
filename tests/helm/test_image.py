"""The image and the try-out's containers, as far as can be seen without an engine."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bao import BINARY, MOUNT, BaoServer
from helm.engine import ROOT, VENV, Engine, has_tool, pod_of, tool
from privyseald.cli.app import app
from privyseald.cli.init import prepare
from privyseald.cli.sandbox import SERVES

_DOCKERFILE = ROOT / "deploy" / "Dockerfile"
_COMPOSE = ROOT / "deploy" / "docker-compose.yaml"


def test_hadolint_has_nothing_to_say() -> None:
    """Of any severity."""
    done = subprocess.run(
        [VENV / "bin" / "hadolint", "--failure-threshold", "style", _DOCKERFILE],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_fits_the_chart(engine: Engine) -> None:
    """The same user, ports, program and file."""
    text = _DOCKERFILE.read_text()
    pod = pod_of(engine.render({}))

    context = pod["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in text
    command = re.search(r"^ENTRYPOINT (.*)\nCMD (.*)$", text, re.MULTILINE)
    assert command is not None
    assert json.loads(command[1]) == ["privyseal"]
    assert json.loads(command[2]) == pod["containers"][0]["args"]
    exposed = re.search(r"^EXPOSE (.*)$", text, re.MULTILINE)
    assert exposed is not None
    ports = [each["containerPort"] for each in pod["containers"][0]["ports"]]
    assert {str(port) for port in ports} <= set(exposed[1].split())


def test_both_stages_stand_on_one_base_by_its_digest() -> None:
    """Which is given with each build: a tag may become another image."""
    bases = re.findall(r"^FROM (\S+)", _DOCKERFILE.read_text(), re.MULTILINE)

    assert len(bases) == 2
    assert len({*bases}) == 1
    assert bases[0].endswith("@${PYTHON_DIGEST}")


def test_nothing_goes_into_the_image_but_what_is_named() -> None:
    """Everything is ignored but locked requirements and wheels; and those are what is copied."""
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    locks = ["!requirements/runtime.txt", "!requirements/tracing.txt"]
    assert rules == ["*", *locks, "!dist/*.whl"]
    copied = re.findall(r"^COPY (?!--from)(\S+)", _DOCKERFILE.read_text(), re.MULTILINE)
    assert copied == ["requirements/${LOCK}.txt", "dist/"]


def services() -> dict[str, Any]:
    """Return the services of the try-out, as the reference implementation of Compose reads them."""
    if not has_tool("compose"):
        pytest.skip("the reader of Compose files is not built: that takes Go")
    done = subprocess.run(
        [tool("compose"), "-no-interpolation", "-format", "json", _COMPOSE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def test_compose_takes_the_file() -> None:
    """It follows the specification, and nobody starts before what it needs."""
    found = services()

    assert {*found} == {"openbao", "openbao-setup", "valkey", "sandbox", "files", "privyseal"}
    assert {*found["privyseal"]["depends_on"]} == {"openbao-setup", "valkey", "sandbox", "files"}
    published = [each for service in found.values() for each in service.get("ports", ())]
    assert [each["host_ip"] for each in published] == ["127.0.0.1"]


def test_the_service_takes_the_environment_of_the_try_out(tmp_path: Path) -> None:
    """On what `privyseal init` writes, as the container `files` does."""
    environment = {
        name: str(value) for name, value in services()["privyseal"]["environment"].items()
    }
    prepare(tmp_path / "try", 7443)

    command = ["config", "check", "--json", "--config", str(tmp_path / "try" / "privyseal.toml")]
    done = CliRunner().invoke(app, command, env=environment)

    assert done.exit_code == 0, done.output
    config = json.loads(done.output)
    assert config["store"]["url"] == "vault://signer/keys"
    urls = {name: venue["base_urls"]["production"] for name, venue in config["venues"].items()}
    port = 7501
    for server, venues in SERVES.items():
        for venue in venues:
            assert urls[venue] == f"http://sandbox:{port}", server
        port += 1


def test_openbao_is_prepared_as_often_as_it_is_asked(bao: BaoServer, tmp_path: Path) -> None:
    """The script of the container `openbao-setup`, with a token that may do what it should."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bao").symlink_to(BINARY)
    script = (ROOT / "deploy" / "compose" / "setup.sh").read_text()
    script = script.replace("/deploy/", f"{ROOT}/deploy/").replace("/run/vault", str(tmp_path))
    (tmp_path / "setup.sh").write_text(script)
    environment = {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "BAO_ADDR": bao.url,
        "BAO_TOKEN": bao.root_token,
    }
    for _ in range(2):
        subprocess.run(["sh", tmp_path / "setup.sh"], check=True, env=environment)

    token = (tmp_path / "token").read_text().strip()
    assert bao.is_alive(token)
    client = bao.root()
    client.token = token
    client.write_data(f"{MOUNT}/data/keys/try-out", data={"data": {"venue": "whitebit"}})
    bao.root().delete(f"{MOUNT}/metadata/keys/try-out")


def test_checkov_finds_nothing_in_the_dockerfile() -> None:
    """Another eye than hadolint's."""
    done = subprocess.run(
        [
            *(ROOT / ".venv-checkov" / "bin" / "checkov", "--file", _DOCKERFILE),
            *("--framework", "dockerfile", "--compact", "--quiet", "--skip-download"),
            *("--output", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    summary = json.loads(done.stdout)
    summary = summary.get("summary", summary)
    assert summary["failed"] == 0, done.stdout
