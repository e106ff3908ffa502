"""What Vault may suffer, and what the callers of a service over it see of that."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bao import BaoServer
from bao_cluster import BaoCluster
from chaos_run import GOOD, Row, run
from chaos_scenarios import SCENARIOS, Scenario
from chaos_table import committed
from vault_desk import VaultDesk

_HEALS_S = 10.0
_ON_ONE = [each for each in SCENARIOS if not each.needs_cluster]
_ON_THREE = [each for each in SCENARIOS if each.needs_cluster]


@pytest.fixture
def lone_bao(tmp_path: Path) -> Iterator[BaoServer]:
    """A server of the test's own."""
    server = BaoServer(tmp_path / "bao")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[BaoCluster]:
    """Three servers of the test's own, as one cluster."""
    three = BaoCluster(tmp_path / "cluster")
    try:
        three.start()
        yield three
    finally:
        three.stop()


@pytest.mark.parametrize("scenario", _ON_ONE, ids=lambda each: each.name)
async def test_one_server(lone_bao: BaoServer, tmp_path: Path, scenario: Scenario) -> None:
    """Each RPC answers as docs/vault-down.md says, and all heals within ten seconds."""
    async with VaultDesk(tmp_path, lone_bao) as desk:
        check(await run(scenario, desk))


async def test_three_servers(cluster: BaoCluster, tmp_path: Path) -> None:
    """The same for a cluster that loses its leader, and then its quorum."""
    for number, scenario in enumerate(_ON_THREE):
        await asyncio.to_thread(cluster.revive)
        folder = tmp_path / str(number)
        folder.mkdir()
        async with VaultDesk(folder, cluster.leader(), cluster) as desk:
            check(await run(scenario, desk))


def test_the_table_has_every_scenario() -> None:
    """docs/vault-down.md tells of these scenarios and no others."""
    assert [each.name for each in SCENARIOS] == list(committed())


def check(row: Row) -> None:
    """Compare a row with the committed one, less its times."""
    # While a custodian writes the keys back, those that are not there yet are unknown.
    known = {*GOOD, *row.answers.values(), "not ready", "NOT_FOUND KEY_UNKNOWN"}

    assert committed()[row.name] == row.answers
    assert {
        each for each in row.between if each not in known and "UNAVAILABLE" not in each
    } == set()
    assert row.heal_s < _HEALS_S
    # Nobody waits long for a Vault that does not answer while there is a key to sign with.
    assert row.slowest_s < 2.0
