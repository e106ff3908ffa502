"""The metrics of all workers and of their supervisor, as one text."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from privyseald.telemetry import catalogue as of
from privyseald.telemetry.exposition import Exposition, merged
from privyseald.telemetry.samples import Sample
from privyseald.workers.worker_process import WorkerProcess

_PATIENCE_MS = 1_000
# The number that stands in the label `worker` for the supervisor itself.
_SUPERVISOR = 0


class Scrape:
    """Asks the workers at each scrape. One that does not answer in a second is left out.

    `alive` and `ready` are the workers by their numbers, as the supervisor knows them.
    """

    def __init__(
        self, numbers: Iterable[int], alive: Mapping[int, WorkerProcess], ready: set[int]
    ) -> None:
        self._numbers = tuple(numbers)
        self._alive = alive
        self._ready = ready
        self._exposition = Exposition(of.OF_A_SUPERVISOR, self._samples, _SUPERVISOR)
        self.deaths = 0
        self._silences = 0

    async def text(self) -> bytes:
        """Return the metrics of all that answer."""
        workers = [self._alive[number] for number in self._numbers if number in self._alive]
        texts = await asyncio.gather(*(worker.metrics(_PATIENCE_MS) for worker in workers))
        answers = [text for text in texts if text]
        self._silences += len(self._numbers) - len(answers)
        return merged([self._exposition.text(), *answers])

    def checks(self) -> dict[str, str]:
        """Return what each worker says of itself."""
        return {
            f"worker_{number}": "ok" if number in self._ready else "not ready"
            for number in self._numbers
        }

    def _samples(self) -> Iterator[Sample]:
        yield of.WORKERS, ("configured",), len(self._numbers)
        yield of.WORKERS, ("ready",), len(self._ready)
        yield of.WORKER_DEATHS, (), self.deaths
        yield of.WORKER_SILENCES, (), self._silences
