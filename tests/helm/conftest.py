from collections.abc import Iterator

import pytest

from helm.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Helm 4."""
    running = Engine()
    try:
        yield running
    finally:
        running.close()
