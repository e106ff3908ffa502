"""Every metric that a server tells: name, kind, labels and meaning. docs/metrics.md is made of it.

No label is one that a caller can choose: no key, no caller, no path. Names stay as they are within
a major release; a metric may gain neither labels nor another meaning.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What may be done with it: `rate()` of counters and histograms, none of gauges."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. `adds_up` is whether the sum over servers and workers means anything."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    adds_up: bool = True


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"privyseal_{name}_total", Kind.COUNTER, meaning, labels)


def _histogram(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"privyseal_{name}_seconds", Kind.HISTOGRAM, meaning, labels)


def _gauge(name: str, meaning: str, *labels: str, adds_up: bool = False) -> Metric:
    return Metric(f"privyseal_{name}", Kind.GAUGE, meaning, labels, adds_up)


RPCS = _counter(
    "rpc_requests",
    "RPCs that have ended, by gRPC code and ErrorInfo reason (empty where the code is OK or "
    "CANCELLED). An RPC that is not of the contract counts as `unknown`.",
    "rpc",
    "code",
    "reason",
)
RPC_DURATION = _histogram(
    "rpc_duration",
    "From the arrival of an RPC to its answer, audit line and all; of streams their whole life.",
    "rpc",
)
BATCH_REQUESTS = _counter(
    "batch_requests", "Requests within BatchSign, by how each ended.", "code", "reason"
)
IN_FLIGHT = _gauge(
    "rpcs_in_flight", "Places of server.max_concurrent_rpcs that are taken.", adds_up=True
)
IN_FLIGHT_LIMIT = _gauge("rpcs_in_flight_limit", "How many places there are.", adds_up=True)
SHED = _counter(
    "rpcs_shed",
    "RPCs refused for want of a place, with nothing begun: `urgent` ones (cancels, holds) or "
    "`normal` ones.",
    "priority",
)
STREAMS = _gauge("streams_open", "Open WatchSession streams.", adds_up=True)
REPEATS = _counter(
    "idempotency_hits",
    "Requests answered by the first answer to their request id: from this process's `memory`, "
    "`joined` while the first was under way here, or from the shared `state`.",
    "source",
)
SIGNATURES = _counter("signatures", "Signatures made.", "venue", "algorithm")

POLICY_RULES = _gauge("policy_rules", "Rules in force.")
POLICY_GENERATION = _gauge("policy_generation", "Which policy since the start is in force, from 1.")
POLICY_LOADED = _gauge(
    "policy_loaded_timestamp_seconds", "When the policy in force was read, in Unix time."
)
POLICY_FAILURES = _counter("policy_load_failures", "Policy files that did not load.")
POLICY_STALE = _gauge(
    "policy_is_stale", "1 while a policy file lies there that does not load, else 0."
)
DENIALS = _counter(
    "policy_denials",
    "Requests denied, by the rule that denied them; empty where no rule allowed them.",
    "rule",
)
LIMITS = _counter("limits_exceeded", "Requests refused because a rule's limit is spent.", "rule")

VENUE_REQUESTS = _counter(
    "venue_requests",
    "What this server asked of venues itself: `login`, `logout`, `create-key`. The outcome is "
    "`ok`, or the reason of the failure.",
    "venue",
    "operation",
    "outcome",
)
VENUE_DURATION = _histogram("venue_request_duration", "How long that took.", "venue", "operation")
CLOCK_OFFSET = _gauge(
    "venue_clock_offset_seconds",
    "By how much a venue's clock is ahead of this server's, as estimated "
    '(`clock_offset_ms = "estimate"`).',
    "venue",
    "environment",
)
CLOCK_ERROR = _gauge(
    "venue_clock_error_seconds",
    "How far that may be wrong; absent until the venue has told its time.",
    "venue",
    "environment",
)
CLOCK_FAILURES = _gauge(
    "venue_clock_failures",
    "How often in a row the venue did not tell its time.",
    "venue",
    "environment",
)
CLOCK_DISBELIEVED = _counter(
    "venue_clock_disbelieved",
    "Readings beyond `max_clock_offset_ms`, which changed nothing.",
    "venue",
    "environment",
)

NONCES = _counter("nonces", "Nonces reserved.", "venue")
NONCE_LEAD = _gauge(
    "nonce_lead_seconds",
    "How far the highest nonce of the venue that was given here is ahead of the venue's clock; 0 "
    "where the clock has passed it.",
    "venue",
)
NONCES_BURNT = _counter(
    "nonces_burnt",
    "Nonces that grew old before their signature was ready, and went nowhere.",
    "venue",
)
RESYNCS = _counter(
    "nonce_resyncs",
    "Nonces brought `down` to the clock, or `up` above one of another system.",
    "venue",
    "direction",
)

SESSIONS = _gauge(
    "sessions_open", "Sessions in use at this server; one may be in use at several.", "venue"
)
SESSION_LIFE = _gauge(
    "session_life_seconds", "How long the session that ends first may still be used.", "venue"
)
RENEWALS = _counter(
    "session_renewals", "Renewals before a session's end: `renewed` or `failed`.", "outcome"
)

STORE_STATE = _gauge(
    "secret_store_state",
    "1 for how Vault, or the embedded store, answered last: `ok`, `sealed`, `unreachable`, "
    "`forbidden`, or `unknown` before it was asked; 0 for the others.",
    "state",
)
CACHE_REQUESTS = _counter(
    "key_cache_requests",
    "Keys wanted: a `hit` in the cache, a `stale` key used while the store is away, or a `miss`: "
    "the store was waited for.",
    "outcome",
)
CACHE_KEYS = _gauge("key_cache_keys", "Keys in the cache.")
VAULT_REQUESTS = _counter(
    "vault_requests",
    "Requests to Vault: `read`, `list`, `write`, `delete`, `sign` (transit), `login`, `renew`, "
    "`lookup`, `revoke`, `unwrap`, `system`. The outcome is `ok`, `missing`, `conflict`, "
    "`refused`, `forbidden`, `sealed` or `unreachable`.",
    "operation",
    "outcome",
)
VAULT_DURATION = _histogram(
    "vault_request_duration", "How long that took, retries and all.", "operation"
)
TOKEN_LIFE = _gauge(
    "vault_token_life_seconds",
    "How long Vault takes our token; 0 where there is none, +Inf for one that does not end.",
)
TOKEN_RENEWALS = _counter(
    "vault_token_renewals",
    "What became of the token: `renewed`, `logged-in` anew, or `failed` to log in.",
    "outcome",
)
ESCROW = _gauge("escrow_records", "Keys that venues issued and the secret store does not have yet.")
FINDINGS = _gauge(
    "reconcile_findings",
    "Escrow records and reservations that are `waiting`, `blocked`, `unreadable` or `unknown` now.",
    "outcome",
)
RECONCILED = _counter(
    "reconcile_outcomes", "What became of records and reservations, `moved` among it.", "outcome"
)
SAGA_STEPS = _counter(
    "create_key_steps",
    "Steps of CreateKey at a venue that were done: `placed`, `reserved`, `answered`, `sealed`, "
    "`written`, `cleared`. Where `answered` runs ahead of `written`, keys wait in escrow.",
    "step",
)

STATE_REQUESTS = _counter(
    "state_requests",
    "What was asked of the shared or embedded state, by operation; the outcome is `ok` or the "
    "reason of the failure.",
    "operation",
    "outcome",
)
STATE_DURATION = _histogram("state_request_duration", "How long that took.", "operation")
EPOCHS = _counter(
    "state_epoch_changes",
    "How often the Valkey was found restarted, failed over or flushed.",
)

HOLDS = _gauge("holds", "Holds in force, by what they stop.", "scope")
HOLD_REFUSALS = _counter(
    "hold_refusals",
    "Requests refused because of a `hold`, or `blind`: because holds could not be known.",
    "cause",
)
HOLDS_AGE = _gauge(
    "holds_age_seconds",
    "How old this server's copy of the holds is; beyond holds.max_age_ms nothing is signed. "
    "Always 0 with an embedded state.",
)
HOLDS_PUT_BACK = _counter("holds_put_back", "Holds that the state had forgotten.")

AUDIT_LINES = _counter("audit_lines", "Audit lines written.")
AUDIT_CHECKPOINTS = _counter("audit_checkpoints", "Signed checkpoints among them.")
AUDIT_QUEUE_LINES = _gauge("audit_queue_lines", "Audit lines that wait.", adds_up=True)
AUDIT_QUEUE_BYTES = _gauge("audit_queue_bytes", "Their bytes.", adds_up=True)
AUDIT_WRITABLE = _gauge("audit_is_writable", "1 while audit lines are written, else 0.")
AUDIT_STALLS = _counter("audit_stalls", "Writes that took longer than audit.timeout_ms.")
AUDIT_FAILURES = _counter("audit_write_failures", "Writes that failed.")

CERTIFICATE_LIFE = _gauge(
    "certificate_life_seconds",
    "How long the `server` certificate's chain and the `client-ca` are good; negative when over.",
    "certificate",
)
JWKS_AGE = _gauge(
    "jwks_age_seconds",
    "When the keys of an issuer of tokens were last confirmed, in seconds ago; +Inf where they "
    "never came.",
    "issuer",
)

BUILD = _gauge("build_info", "Always 1; the release.", "version")
READY = _gauge("ready", "1 while this server says that it is ready, else 0.")
LOOP_LAG = _histogram(
    "event_loop_lag",
    "By how much a turn of the event loop came late, looked at ten times a second.",
)
BACKGROUND_FAILURES = _counter(
    "background_failures",
    "How often work that the server does by itself (`policy-watch`, `tls-files`, ...) failed as "
    "nobody foresaw. It is begun again, after a pause of up to 30 s while it goes on failing; the "
    "log says `background work failed`, and where.",
    "task",
)

WORKERS = _gauge("workers", "With server.workers: how many are `configured`, and `ready`.", "state")
WORKER_DEATHS = _counter("worker_deaths", "With server.workers: workers that died.")
WORKER_SILENCES = _counter(
    "worker_scrape_failures",
    "With server.workers: workers left out of a scrape, because they did not answer in a second.",
)

SECTIONS: tuple[tuple[str, tuple[Metric, ...]], ...] = (
    (
        "RPCs",
        (
            RPCS,
            RPC_DURATION,
            BATCH_REQUESTS,
            IN_FLIGHT,
            IN_FLIGHT_LIMIT,
            SHED,
            STREAMS,
            REPEATS,
            SIGNATURES,
        ),
    ),
    (
        "Policy",
        (
            POLICY_RULES,
            POLICY_GENERATION,
            POLICY_LOADED,
            POLICY_FAILURES,
            POLICY_STALE,
            DENIALS,
            LIMITS,
        ),
    ),
    (
        "Venues",
        (
            VENUE_REQUESTS,
            VENUE_DURATION,
            CLOCK_OFFSET,
            CLOCK_ERROR,
            CLOCK_FAILURES,
            CLOCK_DISBELIEVED,
        ),
    ),
    ("Nonces", (NONCES, NONCE_LEAD, NONCES_BURNT, RESYNCS)),
    ("Sessions", (SESSIONS, SESSION_LIFE, RENEWALS)),
    (
        "Secret store and Vault",
        (
            STORE_STATE,
            CACHE_REQUESTS,
            CACHE_KEYS,
            VAULT_REQUESTS,
            VAULT_DURATION,
            TOKEN_LIFE,
            TOKEN_RENEWALS,
        ),
    ),
    ("Keys that venues issue", (SAGA_STEPS, ESCROW, FINDINGS, RECONCILED)),
    ("State", (STATE_REQUESTS, STATE_DURATION, EPOCHS)),
    ("Holds", (HOLDS, HOLD_REFUSALS, HOLDS_AGE, HOLDS_PUT_BACK)),
    (
        "Audit",
        (
            AUDIT_LINES,
            AUDIT_CHECKPOINTS,
            AUDIT_QUEUE_LINES,
            AUDIT_QUEUE_BYTES,
            AUDIT_WRITABLE,
            AUDIT_STALLS,
            AUDIT_FAILURES,
        ),
    ),
    ("Certificates and tokens", (CERTIFICATE_LIFE, JWKS_AGE)),
    ("Process", (BUILD, READY, LOOP_LAG, BACKGROUND_FAILURES)),
    ("Workers", (WORKERS, WORKER_DEATHS, WORKER_SILENCES)),
)
# What a supervisor of workers tells beside what they tell.
OF_A_SUPERVISOR: tuple[Metric, ...] = (WORKERS, WORKER_DEATHS, WORKER_SILENCES)
CATALOGUE: tuple[Metric, ...] = tuple(metric for _, metrics in SECTIONS for metric in metrics)
OF_A_SERVER: tuple[Metric, ...] = tuple(
    metric for metric in CATALOGUE if metric not in OF_A_SUPERVISOR
)


def as_markdown() -> str:
    """Return the catalogue as it stands in docs/metrics.md."""
    lines: list[str] = []
    for title, metrics in SECTIONS:
        lines += [f"### {title}", "", "| metric | kind | labels | sum | meaning |"]
        lines.append("|---|---|---|---|---|")
        for each in metrics:
            labels = ", ".join(f"`{label}`" for label in each.labels) or "-"
            adds_up = "yes" if each.adds_up else "no"
            lines.append(f"| `{each.name}` | {each.kind} | {labels} | {adds_up} | {each.meaning} |")
        lines.append("")
    return "\n".join(lines)
