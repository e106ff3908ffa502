"""One line of the audit log, filled in as an RPC goes on its way."""

from dataclasses import dataclass


@dataclass(slots=True)
class Entry:
    """What is remembered of one RPC, or of an event that no RPC brought about.

    It never holds a body, a header, a signature or a token. docs/audit.md says what each field
    means.
    """

    rpc: str = ""
    caller: str = ""
    key: str = ""
    key_version: int = 0
    venue: str = ""
    operation: str = ""
    rule: str = ""
    decision: str = ""
    request_id: str = ""
    request_sha256: str = ""
    nonce: str = ""
    code: str = ""
    reason: str = ""
    error_id: str = ""
    event: str = ""
    shadow: str = ""
    limits: str = ""
    policy_sha256: str = ""
    trace_id: str = ""
