from collections.abc import Iterator

import pytest
import structlog

from cli.program import Site
from cli.program import site as running_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server and venues that the tests of a session share; each test has keys of its own."""
    with running_site(tmp_path_factory.mktemp("site")) as served:
        yield served


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Undo what a command did to the log of this process."""
    yield
    structlog.reset_defaults()
