"""The audit log's lines about the policy itself: which file was in force, and since when."""

import structlog

from privyseald.audit.entry import Entry
from privyseald.audit.log import AuditLog
from privyseald.errors import AuditUnavailable
from privyseald.policy.watch import PolicyNews

_log = structlog.get_logger("privyseald.policy")


class RecordPolicy:
    """Writes a line for each event of the policy file."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def __call__(self, news: PolicyNews) -> None:
        """Write the line; what is in force does not wait for it."""
        try:
            await self._audit.record(Entry(event=news.event.value, policy_sha256=news.sha256))
        except AuditUnavailable:
            # The audit log tells of it when it can be written again.
            _log.error("audit line of the policy not written", sha256=news.sha256)
