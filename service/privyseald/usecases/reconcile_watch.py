"""Reconciling in the background: at the start, after each escrowed key, and while any waits."""

import asyncio
from contextlib import suppress

import structlog

from privyseald.errors import PrivysealError
from privyseald.secretstore.escrow import Escrow
from privyseald.usecases.reconcile import Outcome, Reconcile

_FIRST_PAUSE_S = 1.0
_LAST_PAUSE_S = 60.0
_IDLE_PAUSE_S = 600.0
# The reservations of ten thousand keys in Vault are looked through with a tenth of one core.
_LEISURE = 9.0
_log = structlog.get_logger("privyseald.reconcile")


class ReconcileWatch:
    """Runs until it is cancelled."""

    def __init__(self, reconcile: Reconcile, escrow: Escrow, *, longest_ms: int) -> None:
        self._reconcile = reconcile
        self._escrow = escrow
        self._longest_s = longest_ms / 1_000

    async def run(self) -> None:
        """Look after records and reservations, each at its own pace."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_records())
            group.create_task(self._watch_reservations())

    async def _watch_records(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            self._escrow.changed.clear()
            is_any_left = await self._is_any_left()
            pause_s = min(2 * pause_s, _LAST_PAUSE_S) if is_any_left else _FIRST_PAUSE_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s if is_any_left else _IDLE_PAUSE_S):
                    await self._escrow.changed.wait()
                    pause_s = _FIRST_PAUSE_S

    async def _is_any_left(self) -> bool:
        try:
            findings = await self._reconcile.records()
        except OSError as error:
            _log.error("escrow directory can't be read", cause=error.strerror)
            return True
        return any(finding.outcome is not Outcome.MOVED for finding in findings)

    async def _watch_reservations(self) -> None:
        """Look once at all that earlier runs left, and again at what was too young to tell."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                _, is_any_young = await self._reconcile.reservations(_LEISURE)
            except PrivysealError:
                # The store is away; readiness says so.
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LAST_PAUSE_S)
                continue
            if not is_any_young:
                return
            await asyncio.sleep(max(self._longest_s, _FIRST_PAUSE_S))
