import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bao_fixtures import bao, frail_bao, prefix  # noqa: F401  # fixtures
from service import OPERATOR, Service, Stubs
from valkey_fixtures import valkey_server  # noqa: F401  # a fixture


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A running server with venue servers behind it."""
    async with Service(tmp_path) as running:
        yield running


@pytest.fixture
async def operator(service: Service) -> Stubs:
    """Stubs of the caller who may do everything."""
    return await service.as_caller(OPERATOR)


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that tests start: a shell's background job ignores it, and
    so would they.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let no skipped test pass in CI."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and os.environ.get("CI") and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
