"""What a scrape of a real server says, parsed as Prometheus parses it."""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

STANDARD = ("process_", "python_")


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the HTTP port."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Scraped:
    """The samples of a scrape, and the kinds and labels of their metrics."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.kinds: dict[str, str] = {}
        self.labels: dict[str, set[frozenset[str]]] = {}
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(text):
            name = family.name + ("_total" if family.type == "counter" else "")
            assert name not in self.kinds, "a metric is told in one piece"
            self.kinds[name], self.labels[name] = family.type, set()
            for sample in family.samples:
                series = sample.name, frozenset(sample.labels.items())
                assert series not in self.samples, "a series is told once"
                self.samples[series] = sample.value
                self.labels[name].add(frozenset(sample.labels) - {"le"})

    def value(self, name: str, **labels: str) -> float:
        """Return the value of one series; 0 where there is none."""
        return self.samples.get((name, frozenset(labels.items())), 0)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all series with these labels."""
        wanted = labels.items()
        return sum(
            value
            for (sample, found), value in self.samples.items()
            if sample == name and wanted <= found
        )


async def fetch(port: int, path: str, method: str = "GET") -> Page:
    """Return what the port answers."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{port}{path}") as response,
    ):
        return Page(response.status, response.headers, await response.read())


async def scrape(port: int) -> Scraped:
    """Return what a scrape of the port gets."""
    page = await fetch(port, "/metrics")
    assert (page.status, page.headers["Content-Type"]) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
    )
    return Scraped(page.body.decode())
