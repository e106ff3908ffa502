"""What a release is made of: the same wheels each time, locked requirements, a bill of them."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from helm.engine import ROOT

_PROJECTS = {"privyseald": ROOT, "privyseal": ROOT / "clients" / "python"}
_LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def build(project: Path, target: Path, umask: int) -> Path:
    """Build a wheel of a copy of what Git knows of the project, and return it."""
    copy = target / "copy"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=project, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.rstrip("\0").split("\0"):
        if (project / name).is_file() and not name.startswith(("tests/", "clients/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(project / name, copy / name)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", target],
        cwd=copy,
        check=True,
        capture_output=True,
        umask=umask,
        env={"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": "1790000000"},
    )
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.mark.parametrize("name", _PROJECTS)
def test_a_wheel_is_built_twice_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    """By other hands, at another place, at another time."""
    digests = set()
    for number, umask in enumerate((0o022, 0o077)):
        (tmp_path / str(number)).mkdir()
        wheel = build(_PROJECTS[name], tmp_path / str(number), umask)
        digests.add(sha256(wheel.read_bytes()).hexdigest())

    assert len(digests) == 1


def test_the_wheel_has_the_package_and_nothing_else(tmp_path: Path) -> None:
    """No tests, no keys, no caches; and the program."""
    wheel = build(_PROJECTS["privyseald"], tmp_path, 0o022)

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry = archive.read(next(name for name in names if name.endswith("entry_points.txt")))
    assert {name.split("/")[0].split("-")[0] for name in names} == {"privyseald"}
    assert not [name for name in names if name.endswith((".pyc", ".pem", ".key"))]
    assert b"privyseal = privyseald.cli.app:main" in entry


@pytest.mark.parametrize("lock", _LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_locked_by_hashes(lock: Path) -> None:
    """Each line of a lock names one version and its hashes, and no index."""
    text = lock.read_text()
    entries = re.findall(r"^([a-z0-9][^\s;]*)(.*?)(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)

    assert len(entries) > 0
    for name, rest in entries:
        assert re.fullmatch(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+", name), name
        assert "--hash=sha256:" in rest, name
    assert "index-url" not in text
    assert "://" not in text


def test_the_bill_of_materials_is_the_lock() -> None:
    """Everything that is locked for the daemon, at its version, with its hashes."""
    subprocess.run(["make", "--silent", "sbom"], cwd=ROOT, check=True, capture_output=True)
    bill = json.loads((ROOT / "dist" / "privyseal.cdx.json").read_text())

    locked = dict(
        re.findall(
            r"^([a-z0-9._-]+)==([^\s;]+)",
            (ROOT / "requirements" / "runtime.txt").read_text(),
            re.MULTILINE,
        )
    )
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "privyseald"
    assert {each["name"]: each["version"] for each in bill["components"]} == locked
    assert all(
        reference["hashes"]
        for each in bill["components"]
        for reference in each["externalReferences"]
    )
