"""Fixtures for tests against a real Valkey server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from valkey_server import ValkeyServer


@pytest.fixture
def valkey_server(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server of the test's own, empty; it may be killed, paused and restarted."""
    server = ValkeyServer(tmp_path / "valkey")
    try:
        server.start()
        yield server
    finally:
        server.stop()
