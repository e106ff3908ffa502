"""What each metric reads at a scrape. Nothing here waits, and nothing asks another server."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Iterator

from privyseald import __version__
from privyseald.calls import Calls
from privyseald.durations import Durations
from privyseald.errors import (
    SecretStoreForbidden,
    SecretStoreSealed,
    SecretStoreUnreachable,
)
from privyseald.holds.hold import ScopeKind
from privyseald.readiness import OK
from privyseald.state.valkey import ValkeyState
from privyseald.telemetry import catalogue as of
from privyseald.telemetry.catalogue import Metric
from privyseald.telemetry.sources import Sources
from privyseald.usecases.create_key_saga import Step
from privyseald.usecases.reconcile import Outcome

# A metric, the values of its labels, and what it reads.
Sample = tuple[Metric, tuple[str, ...], float | Durations]

_STORE_STATES = {
    OK: "ok",
    "unknown": "unknown",
    SecretStoreSealed.reason: "sealed",
    SecretStoreUnreachable.reason: "unreachable",
    SecretStoreForbidden.reason: "forbidden",
}


def samples_of(sources: Sources) -> Iterator[Sample]:
    """Yield all samples of a server."""
    for read in _READERS:
        yield from read(sources)


def _of_rpcs(sources: Sources) -> Iterator[Sample]:
    rpcs = sources.rpcs
    counts, admission = rpcs.pipeline.counts, rpcs.pipeline.admission
    for ended, count in counts.ended():
        yield of.RPCS, ended, count
    for rpc, durations in counts.durations():
        yield of.RPC_DURATION, (rpc,), durations
    for part, count in counts.parts.items():
        yield of.BATCH_REQUESTS, part, count
    yield of.IN_FLIGHT, (), admission.taken
    yield of.IN_FLIGHT_LIMIT, (), admission.most
    for priority, count in admission.shed.items():
        yield of.SHED, (priority,), count
    yield of.STREAMS, (), rpcs.streams.open
    yield of.REPEATS, ("memory",), rpcs.idempotency.from_memory
    yield of.REPEATS, ("joined",), rpcs.idempotency.joined
    yield of.REPEATS, ("state",), rpcs.idempotency.from_state
    for labels, count in rpcs.sign.signatures.items():
        yield of.SIGNATURES, labels, count


def _of_policy(sources: Sources) -> Iterator[Sample]:
    watch, counts = sources.rules.policy, sources.rpcs.pipeline.counts
    yield of.POLICY_RULES, (), len(watch.policy.rules)
    yield of.POLICY_GENERATION, (), 1 + watch.reloads
    yield of.POLICY_LOADED, (), watch.loaded_time_ms / 1_000
    yield of.POLICY_FAILURES, (), watch.refusals
    yield of.POLICY_STALE, (), watch.failed_since_ms is not None
    for rule, count in counts.denied.items():
        yield of.DENIALS, (rule,), count
    for rule, count in counts.limited.items():
        yield of.LIMITS, (rule,), count


def _of_venues(sources: Sources) -> Iterator[Sample]:
    venues = sources.venues
    yield from _of_calls(sources.watched.venue_calls, of.VENUE_REQUESTS, of.VENUE_DURATION)
    for place, clock in venues.offsets.clocks.items():
        yield of.CLOCK_OFFSET, place, clock.offset_ms / 1_000
        if clock.error_ms is not None:
            yield of.CLOCK_ERROR, place, clock.error_ms / 1_000
        yield of.CLOCK_FAILURES, place, clock.failures
        yield of.CLOCK_DISBELIEVED, place, clock.disbelieved
    soonest_ms: dict[str, int] = {}
    count: Counter[str] = Counter()
    for venue, life_ms in venues.sessions.lives_ms():
        count[venue] += 1
        soonest_ms[venue] = min(life_ms, soonest_ms.get(venue, life_ms))
    for venue, life_ms in soonest_ms.items():
        yield of.SESSIONS, (venue,), count[venue]
        yield of.SESSION_LIFE, (venue,), life_ms / 1_000
    yield of.RENEWALS, ("renewed",), venues.renewals.renewed
    yield of.RENEWALS, ("failed",), venues.renewals.failed


def _of_nonces(sources: Sources) -> Iterator[Sample]:
    nonces = sources.rpcs.nonces
    for venue, count in nonces.given.items():
        yield of.NONCES, (venue,), count
        yield of.NONCES_BURNT, (venue,), nonces.burnt[venue]
        yield of.NONCE_LEAD, (venue,), nonces.lead_us(venue) / 1_000_000
    for labels, count in nonces.moved.items():
        yield of.RESYNCS, labels, count


def _of_store(sources: Sources) -> Iterator[Sample]:
    backends = sources.backends
    cache, vault = backends.cache, backends.vault
    found = backends.readiness.checks["secret_store"]
    state = _STORE_STATES.get(found, "unreachable")
    for each in _STORE_STATES.values():
        yield of.STORE_STATE, (each,), each == state
    yield of.CACHE_REQUESTS, ("hit",), cache.hits
    yield of.CACHE_REQUESTS, ("stale",), cache.stale
    yield of.CACHE_REQUESTS, ("miss",), cache.misses
    yield of.CACHE_KEYS, (), len(cache)
    yield from _of_calls(sources.watched.vault_calls, of.VAULT_REQUESTS, of.VAULT_DURATION)
    if vault is not None:
        tokens = vault.tokens
        yield of.TOKEN_LIFE, (), tokens.life_ms / 1_000
        yield of.TOKEN_RENEWALS, ("renewed",), tokens.renewed
        yield of.TOKEN_RENEWALS, ("logged-in",), tokens.logged_in
        yield of.TOKEN_RENEWALS, ("failed",), tokens.failed


def _of_issued_keys(sources: Sources) -> Iterator[Sample]:
    venues = sources.venues
    for step in Step:
        yield of.SAGA_STEPS, (step.value,), venues.saga.steps[step]
    yield of.ESCROW, (), venues.escrow.waiting
    findings = venues.reconcile.findings
    for outcome in Outcome:
        if outcome is not Outcome.MOVED:
            yield of.FINDINGS, (outcome.value,), findings.get(outcome, 0)
        yield of.RECONCILED, (outcome.value,), venues.reconcile.totals[outcome]


def _of_state(sources: Sources) -> Iterator[Sample]:
    yield from _of_calls(sources.watched.state_calls, of.STATE_REQUESTS, of.STATE_DURATION)
    state = sources.backends.state
    if isinstance(state, ValkeyState):
        yield of.EPOCHS, (), state.epoch_changes


def _of_holds(sources: Sources) -> Iterator[Sample]:
    holds = sources.rules.holds
    scopes = Counter(hold.scope.kind for hold in holds.known.holds.values())
    for kind in ScopeKind:
        yield of.HOLDS, (kind.value,), scopes[kind]
    yield of.HOLD_REFUSALS, ("hold",), holds.refused
    yield of.HOLD_REFUSALS, ("blind",), holds.refused_blind
    yield of.HOLDS_AGE, (), holds.age_ms / 1_000
    yield of.HOLDS_PUT_BACK, (), sources.rules.shared_holds.put_back


def _of_audit(sources: Sources) -> Iterator[Sample]:
    audit = sources.backends.audit
    yield of.AUDIT_WRITABLE, (), audit.is_writable
    scribe = audit.scribe
    if scribe is not None:
        yield of.AUDIT_LINES, (), scribe.lines
        yield of.AUDIT_CHECKPOINTS, (), scribe.checkpoints
        yield of.AUDIT_QUEUE_LINES, (), scribe.pending.lines
        yield of.AUDIT_QUEUE_BYTES, (), scribe.pending.size
        yield of.AUDIT_STALLS, (), scribe.stalls
        yield of.AUDIT_FAILURES, (), scribe.failures


def _of_edge(sources: Sources) -> Iterator[Sample]:
    edge = sources.edge
    now_s = sources.clock.time_us() / 1_000_000
    if edge.tls_files is not None:
        ends: tuple[tuple[str, dt.datetime | None], ...] = (
            ("server", edge.tls_files.expire_time),
            ("client-ca", edge.tls_files.ca_expire_time),
        )
        for name, end in ends:
            if end is not None:
                yield of.CERTIFICATE_LIFE, (name,), end.timestamp() - now_s
    for issuer, age_ms in edge.tokens.ages_ms() if edge.tokens else ():
        yield of.JWKS_AGE, (issuer,), math.inf if age_ms == math.inf else age_ms / 1_000


def _of_process(sources: Sources) -> Iterator[Sample]:
    yield of.BUILD, (__version__,), 1
    yield of.READY, (), sources.rpcs.server.is_ready
    yield of.LOOP_LAG, (), sources.watched.lag.durations
    for task, count in sources.watched.keeper.failures.items():
        yield of.BACKGROUND_FAILURES, (task,), count


def _of_calls(calls: Calls, count: Metric, duration: Metric) -> Iterator[Sample]:
    for labels, outcomes in calls.items():
        if outcomes.done:
            yield count, (*labels, OK), outcomes.done
        for outcome, number in outcomes.failed.items():
            yield count, (*labels, outcome), number
        yield duration, labels, outcomes.durations


_READERS: tuple[Callable[[Sources], Iterator[Sample]], ...] = (
    _of_rpcs,
    _of_policy,
    _of_venues,
    _of_nonces,
    _of_store,
    _of_issued_keys,
    _of_state,
    _of_holds,
    _of_audit,
    _of_edge,
    _of_process,
)
