"""From samples to the text format of Prometheus."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from privyseald.durations import BOUNDS_US, Durations
from privyseald.telemetry.catalogue import Kind, Metric
from privyseald.telemetry.samples import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (*(f"{bound / 1_000_000:g}" for bound in BOUNDS_US), "+Inf")
# What prometheus_client tells of any process.
_STANDARD: tuple[Collector, ...] = (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR)


class Exposition(Collector):
    """The text of some metrics, and of the process. With a `worker` all samples name it."""

    def __init__(
        self,
        metrics: Sequence[Metric],
        read: Callable[[], Iterable[Sample]],
        worker: int | None = None,
    ) -> None:
        self._metrics = metrics
        self._read = read
        self._worker = None if worker is None else str(worker)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Return what a scrape gets."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Family]:
        """Return nothing: what is collected now may not be known yet."""
        return ()

    def collect(self) -> Iterator[Family]:
        """Yield the families, each with what there is of it now."""
        families = {metric.name: _family(metric) for metric in self._metrics}
        for metric, labels, value in self._read():
            _add(families[metric.name], labels, value)
        yield from map(self._named, families.values())
        for collector in _STANDARD:
            yield from map(self._named, collector.collect())

    def _named(self, family: Family) -> Family:
        if self._worker is not None:
            family.samples = [
                each._replace(labels={**each.labels, "worker": self._worker})
                for each in family.samples
            ]
        return family


def merged(texts: Iterable[bytes]) -> bytes:
    """Return the texts of several workers as one: all samples of a metric behind its head."""
    heads: dict[bytes, list[bytes]] = {}
    bodies: dict[bytes, list[bytes]] = {}
    for text in texts:
        name = b""
        for line in text.splitlines():
            if line.startswith(b"# HELP "):
                name = line.split(b" ", 3)[2]
                if name not in heads:
                    heads[name], bodies[name] = [], []
                is_new = not heads[name]
            if not line.startswith(b"#"):
                bodies[name].append(line)
            elif is_new:
                heads[name].append(line)
    lines = itertools.chain.from_iterable((*heads[name], *bodies[name]) for name in heads)
    return b"".join(line + b"\n" for line in lines)


def _family(metric: Metric) -> Family:
    name, meaning, labels = metric.name, metric.meaning.replace("`", ""), metric.labels
    if metric.kind is Kind.COUNTER:
        return CounterMetricFamily(name, meaning, labels=labels)
    if metric.kind is Kind.HISTOGRAM:
        return HistogramMetricFamily(name, meaning, labels=labels)
    return GaugeMetricFamily(name, meaning, labels=labels)


def _add(family: Family, labels: Sequence[str], value: float | Durations) -> None:
    match family, value:
        case HistogramMetricFamily(), Durations():
            totals = itertools.accumulate(value.counts)
            buckets = list(zip(_BOUNDS, map(float, totals), strict=True))
            family.add_metric(labels, buckets, value.sum_us / 1_000_000)
        case ((CounterMetricFamily() | GaugeMetricFamily()), int() | float()):
            family.add_metric(labels, value)
        case _:
            raise TypeError(f"{family.name} can't read {type(value).__name__}")
