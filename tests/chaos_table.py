"""The table of docs/vault-down.md, written from a run: `make chaos`."""

import asyncio
import logging
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import structlog

from bao import BaoServer
from bao_cluster import BaoCluster
from chaos_run import Row, run
from chaos_scenarios import SCENARIOS, Scenario
from vault_desk import VaultDesk

DOCUMENT = Path(__file__).parents[1] / "docs" / "vault-down.md"
_TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


def render(rows: Iterable[Row]) -> str:
    """Return the rows as Markdown."""
    rows = list(rows)
    names = list(rows[0].answers)
    lines = [
        "| what befalls Vault | " + " | ".join(names) + " | heals |",
        "|" + "---|" * (len(names) + 2),
    ]
    for row in rows:
        cells = [_cell(row.answers[name]) for name in names]
        lines.append(f"| {row.name} | " + " | ".join(cells) + f" | {row.healing} |")
    return "\n".join(lines) + "\n"


def committed() -> dict[str, dict[str, str]]:
    """Return the answers by scenario that the document holds."""
    found = _TABLE.search(DOCUMENT.read_text())
    assert found is not None
    head, _, *lines = [_cells(line) for line in found[0].splitlines()]
    return {
        line[0]: {
            name: cell.replace("`", "") for name, cell in zip(head[1:-1], line[1:-1], strict=True)
        }
        for line in lines
    }


def _cell(answer: str) -> str:
    return " ".join(
        f"`{word}`" if word.isupper() and word != "OK" else word for word in answer.split()
    )


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


async def _rows(folder: Path) -> list[Row]:
    rows = []
    cluster = BaoCluster(folder / "cluster")
    try:
        for number, scenario in enumerate(SCENARIOS):
            place = folder / str(number)
            await asyncio.to_thread(place.mkdir)
            rows.append(await _row(scenario, place, cluster))
            sys.stdout.write(f"{rows[-1].name}: {rows[-1].healing}\n")
    finally:
        cluster.stop()
    return rows


async def _row(scenario: Scenario, folder: Path, cluster: BaoCluster) -> Row:
    if scenario.needs_cluster:
        if not cluster.nodes[0].root_token:
            await asyncio.to_thread(cluster.start)
        await asyncio.to_thread(cluster.revive)
        async with VaultDesk(folder, cluster.leader(), cluster) as desk:
            return await run(scenario, desk)
    bao = BaoServer(folder / "bao")
    try:
        await asyncio.to_thread(bao.start)
        async with VaultDesk(folder, bao) as desk:
            return await run(scenario, desk)
    finally:
        bao.stop()


def main() -> None:
    """Run all scenarios, and write what they came to into the document."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as folder:
        table = render(asyncio.run(_rows(Path(folder))))
    DOCUMENT.write_text(_TABLE.sub(lambda _: table, DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
