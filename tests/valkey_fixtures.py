"""Fixtures for tests against a real Valkey server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from valkey_server import ValkeyServer


@pytest.fixture
def valkey_server(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server of the test's own, empty; it may be killed, paused and restarted.

    It gives nonces at once. After a restart without its memory it does so when 5 s have passed.
    """
    server = ValkeyServer(tmp_path / "valkey")
    try:
        server.start()
        server.settle()
        yield server
    finally:
        server.stop()
