"""Fixtures for tests against a real OpenBao server."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from bao import BaoServer


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoServer]:
    """A server that all tests of a session share; none may seal or stop it."""
    yield from _serve(tmp_path_factory.mktemp("bao") / "shared")


@pytest.fixture(scope="session")
def frail_bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoServer]:
    """A second server, to be sealed and stopped; a test leaves it running and unsealed."""
    yield from _serve(tmp_path_factory.mktemp("bao") / "frail")


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"keys-{secrets.token_hex(6)}"


def _serve(folder: Path) -> Iterator[BaoServer]:
    server = BaoServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
