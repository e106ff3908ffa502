"""The composition root: from the configuration to a server. The only place that wires adapters."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Self

import structlog

from privyseald.audit.checkpoint_key import (
    AuditPublicKey,
    CheckpointKey,
    generate_checkpoint_key,
)
from privyseald.audit.log import AuditLog
from privyseald.clock import Clock, SystemClock
from privyseald.clock_offsets import ClockOffsets, OffsetRule
from privyseald.config import LONGEST_SHARED_OFFSET_MS, Config, ServerConfig
from privyseald.config_error import ConfigInvalid
from privyseald.errors import PrivysealError
from privyseald.holds.hold_file import HoldFile
from privyseald.holds.holds import Holds
from privyseald.holds.shared_holds import SharedHolds
from privyseald.idempotency.idempotency import Idempotency
from privyseald.keeper import Keeper, Work
from privyseald.limits import Limits
from privyseald.nonces import NonceSource
from privyseald.open_doors import Edge, open_doors
from privyseald.open_state import open_state
from privyseald.open_store import open_store, open_vault
from privyseald.outbound.http import HttpOutbound
from privyseald.policy.watch import PolicyEvent, PolicyNews, PolicyWatch
from privyseald.readiness import Readiness
from privyseald.rpc.admission import Bounds
from privyseald.rpc.hold_servicer import HoldServicer
from privyseald.rpc.key_servicer import KeyServicer
from privyseald.rpc.pipeline import Pipeline
from privyseald.rpc.priority import Priority
from privyseald.rpc.procedures import procedures
from privyseald.rpc.server import GrpcServer
from privyseald.rpc.signing_servicer import SigningServicer
from privyseald.rpc.status import code_name, code_of
from privyseald.rpc.streams import Streams
from privyseald.rpc.venue_servicer import VenueServicer
from privyseald.secretstore.cache import CachePolicy, KeyCache
from privyseald.secretstore.escrow import Escrow
from privyseald.secretstore.escrowed_store import EscrowedStore
from privyseald.secretstore.own_sealing_key import own_sealing_key
from privyseald.secretstore.store import SecretStore
from privyseald.sessions.sessions import Sessions
from privyseald.state.sealed_values import SealedValues
from privyseald.state.state import State
from privyseald.telemetry.open_tracer import open_tracer
from privyseald.telemetry.sources import AtVenues, Backends, Rules, ServedRpcs, Sources
from privyseald.telemetry.telemetry import Telemetry
from privyseald.telemetry.watched import Watched
from privyseald.telemetry.watched_state import WatchedState
from privyseald.usecases.create_key import CreateKey
from privyseald.usecases.create_key_saga import CreateKeySaga, Step
from privyseald.usecases.delivery import Receive
from privyseald.usecases.holds import KillSwitch
from privyseald.usecases.import_key import ImportKey
from privyseald.usecases.keys import Keys
from privyseald.usecases.login import Login
from privyseald.usecases.logout import Logout
from privyseald.usecases.open_key import OpenKey, match_venue
from privyseald.usecases.open_session import OpenSession
from privyseald.usecases.purge_held import PurgeHeld
from privyseald.usecases.reconcile import Reconcile
from privyseald.usecases.reconcile_watch import ReconcileWatch
from privyseald.usecases.record_policy import RecordPolicy
from privyseald.usecases.renew_sessions import RenewSessions
from privyseald.usecases.report_answer import ReportAnswer
from privyseald.usecases.resync_nonce import ResyncNonce
from privyseald.usecases.retirement import Retirement
from privyseald.usecases.rotate_key import RotateKey
from privyseald.usecases.sign import Sign
from privyseald.usecases.watch_session import WatchSession
from privyseald.venues.registry import Venues

_HURRIED_GRACE_MS = 2_000
_SEALING_PAUSE_S = 2.0
_log = structlog.get_logger("privyseald")


class App:
    """A server with all that it stands on. Use `async with`; it serves between enter and exit."""

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        on_step: Callable[[Step], None] | None = None,
        *,
        worker: int = 0,
    ) -> None:
        """Take the configuration; `on_step` hears of each step of CreateKey that is done.

        A server that is one of several workers has a number. It shares its port with the
        others, and leaves the operations port to their supervisor.
        """
        self._config = config
        self._clock = clock or SystemClock()
        self._on_step = on_step
        self._worker = worker
        self._is_hurried = False
        self._open = AsyncExitStack()
        self._store: SecretStore
        self._audit: AuditLog
        self.server: GrpcServer
        self.edge: Edge
        self.policy_watch: PolicyWatch
        self.telemetry: Telemetry

    async def __aenter__(self) -> Self:
        """Start to serve. Raises ConfigInvalid; what was opened by then is closed."""
        try:
            await self._start()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def hurry(self) -> None:
        """Let the end be a short one: nobody looks any more at whether this server is ready."""
        self._is_hurried = True

    async def _start(self) -> None:
        config, clock = self._config, self._clock
        venues = make_venues(config)
        self.policy_watch = PolicyWatch(config.policy.file, venues, clock)
        policy = self.policy_watch.policy
        escrow = Escrow.open_path(config.escrow_path, clock)
        self._open.callback(escrow.close)
        tracer = open_tracer(config.tracing, self._worker, self._open)
        watched = Watched(clock, tracer)
        keeper = watched.keeper
        vault = open_vault(config, clock, watched.vault_calls, keeper)
        self._store = EscrowedStore(open_store(config, clock, vault), escrow)
        self._open.push_async_callback(self._store.close)
        shared = await open_state(config.state, clock, keeper)
        self._open.push_async_callback(shared.close)
        state = WatchedState(shared, watched.state_calls)
        sealed = SealedValues(state, lambda: own_sealing_key(self._store, "state"))
        self._begin(keeper, {"sealing-key": partial(_open_early, sealed)})
        await self._open_audit(sealed, keeper)
        outbound = HttpOutbound(
            timeout_ms=config.outbound.timeout_ms,
            connect_timeout_ms=config.outbound.connect_timeout_ms,
            clock=clock,
        )
        self._open.push_async_callback(outbound.close)
        retirement = Retirement(self._store, clock)
        cache = KeyCache(
            self._store,
            lambda credential: match_venue(retirement.hear(credential), venues),
            clock,
            CachePolicy(config.store.soft_ttl_ms, config.store.hard_ttl_ms),
        )
        offsets = ClockOffsets(clock, venues, outbound, _offset_rules(config), keeper)
        self._open.push_async_callback(offsets.close)
        open_key, nonces = OpenKey(cache, clock), NonceSource(state, clock, offsets.of)
        sessions, idempotency = Sessions(state, sealed, clock), Idempotency(sealed, clock)
        self._open.push_async_callback(sessions.settle)
        limits = Limits(state, venues)
        holds, shared_holds = await self._open_holds(
            state, PurgeHeld(self._store, cache, sessions), keeper
        )
        open_session = OpenSession(holds, nonces, sessions, offsets, watched.venue_calls)
        login = Login(policy, holds, open_key, open_session)
        receive = Receive(self._store)
        # A key that a venue has issued must reach the store before that is closed.
        self._open.push_async_callback(idempotency.settle)
        issue_key = CreateKeySaga(
            self._store,
            escrow,
            outbound,
            clock,
            watched.venue_calls,
            longest_ms=config.longest_creation_ms,
            observe=self._on_step,
        )
        sign = Sign(policy, venues, holds, open_key, nonces, sessions, idempotency, limits)
        servicers = {
            "privyseal.v1.SigningService": SigningServicer(
                sign,
                login,
                Logout(policy, open_key, sessions, outbound, watched.venue_calls),
                WatchSession(login, open_key, open_session, sessions),
                CreateKey(
                    policy, holds, venues, self._store, cache, open_key, idempotency, issue_key
                ),
                ReportAnswer(policy, open_key, nonces, offsets, sessions, clock),
            ),
            "privyseal.v1.KeyService": KeyServicer(
                Keys(policy, self._store, cache, sessions),
                ImportKey(policy, venues, self._store, cache, idempotency, receive),
                RotateKey(
                    policy,
                    venues,
                    self._store,
                    cache,
                    sessions,
                    idempotency,
                    receive,
                    retirement,
                    clock,
                ),
                receive,
                ResyncNonce(policy, open_key, nonces),
            ),
            "privyseal.v1.VenueService": VenueServicer(venues, offsets),
            "privyseal.v1.HoldService": HoldServicer(
                KillSwitch(policy, venues, shared_holds, clock)
            ),
        }
        pipeline = Pipeline(
            self._audit, clock, _bounds(config.server), Priority(venues), holds, tracer
        )
        self.edge = open_doors(config.server, clock, keeper, self._open)
        streams = Streams(pipeline, self._audit, clock, config.server.max_streams)
        self.server = GrpcServer(
            procedures(servicers),
            pipeline,
            streams,
            self.edge.identity,
            self.edge.doors,
            clock,
            ops_listen=None if self._worker else config.server.ops_listen,
            reflect=config.server.reflection,
            share_port=self._worker > 0,
        )
        renewals = RenewSessions(
            open_key,
            open_session,
            sessions,
            self._audit,
            clock,
            lambda error: code_name(code_of(type(error))),
        )
        longest_ms = config.longest_creation_ms
        reconcile = Reconcile(self._store, escrow, clock, longest_ms=longest_ms)
        readiness = Readiness(
            self._store, state, self._audit, clock, longest_stale_ms=config.store.hard_ttl_ms
        )
        self.telemetry = Telemetry(
            Sources(
                clock,
                ServedRpcs(self.server, pipeline, streams, sign, idempotency, nonces),
                Backends(cache, vault, shared, self._audit, readiness),
                AtVenues(offsets, sessions, renewals, issue_key, escrow, reconcile),
                Rules(self.policy_watch, holds, shared_holds),
                self.edge,
                watched,
            ),
            worker=self._worker,
        )
        await self.telemetry.open(config.server.http_ops_listen, self._open)
        await self.server.start()
        self._open.push_async_callback(self._stop_serving)
        self._open.push_async_callback(renewals.settle)
        self._begin(
            keeper,
            {
                "readiness": partial(readiness.run, self._set_ready, cache.sweep),
                "session-news": sessions.run,
                "session-renewal": renewals.run,
                "retirement": retirement.run,
                "reconcile": ReconcileWatch(reconcile, escrow, longest_ms=longest_ms).run,
            },
        )

    def _begin(self, keeper: Keeper, background: Mapping[str, Work]) -> None:
        """Have work done until the end, by its names."""
        for name, work in background.items():
            self._open.callback(keeper.keep(name, work).cancel)

    async def _set_ready(self, is_ready: bool) -> None:
        await self.server.set_ready(ready=is_ready)

    async def _open_audit(self, sealed: SealedValues, keeper: Keeper) -> None:
        """Begin the audit log, with the policy that is in force, and let that follow its file."""
        self._audit = AuditLog.open(
            self._config.audit,
            self._clock,
            worker=self._worker,
            get_key=lambda: self._store.own_key("audit", generate_checkpoint_key),
            values=sealed,
            keeper=keeper,
        )
        self._open.push_async_callback(self._audit.close)
        await self._audit.start()
        record = RecordPolicy(self._audit)
        await record(PolicyNews(PolicyEvent.LOADED, self.policy_watch.sha256))
        self._begin(keeper, {"policy-watch": partial(self.policy_watch.run, record)})

    async def _open_holds(
        self, state: State, purge: PurgeHeld, keeper: Keeper
    ) -> tuple[Holds, SharedHolds]:
        config, holds = self._config, Holds(self._clock)
        holds.on_begin.append(purge)
        self._open.push_async_callback(purge.settle)
        file = HoldFile.open_path(config.holds_path)
        # An embedded state has no other writer, so what is known does not grow old.
        max_age_ms = None if config.state.is_embedded else config.holds.max_age_ms
        shared = SharedHolds(state, file, holds, self._clock, keeper, max_age_ms=max_age_ms)
        self._open.push_async_callback(shared.close)
        await shared.start()
        return holds, shared

    async def _stop_serving(self) -> None:
        server = self._config.server
        delay_ms, grace_ms = server.drain_delay_ms, server.grace_ms
        if self._is_hurried:
            delay_ms, grace_ms = 0, min(grace_ms, _HURRIED_GRACE_MS)
        await self.server.stop(drain_delay_ms=delay_ms, grace_ms=grace_ms)


async def _open_early(sealed: SealedValues) -> None:
    """Read the key that seals the state, so that it is there when the store is away."""
    warned = ""
    while True:
        try:
            await sealed.open()
        except PrivysealError as error:
            if error.reason != warned:
                warned = error.reason
                _log.warning("sealing key not read yet", reason=warned, advice=error.message)
            await asyncio.sleep(_SEALING_PAUSE_S)
        else:
            return


@asynccontextmanager
async def open_reconcile(config: Config) -> AsyncIterator[Reconcile]:
    """Open what reconciling needs, without a server. Raises ConfigInvalid."""
    clock = SystemClock()
    store = open_store(config, clock)
    try:
        escrow = Escrow.open_path(config.escrow_path, clock)
        whole_store = EscrowedStore(store, escrow)
        yield Reconcile(whole_store, escrow, clock, longest_ms=config.longest_creation_ms)
        escrow.close()
    finally:
        await store.close()


async def read_audit_key(config: Config) -> AuditPublicKey:
    """Return the key that verifies checkpoints, made if there is none.

    Raises ConfigInvalid, and what the store raises.
    """
    store = open_store(config, SystemClock())
    try:
        material = await store.own_key("audit", generate_checkpoint_key)
        return CheckpointKey(material).public_key
    finally:
        await store.close()


def make_venues(config: Config) -> Venues:
    """Return the venues with the config's base URLs. Raises ConfigInvalid."""
    try:
        return Venues({name: venue.base_urls for name, venue in config.venues.items()})
    except PrivysealError as error:
        raise ConfigInvalid(error.message) from error


def _bounds(server: ServerConfig) -> Bounds:
    """Return how much is taken on."""
    of_one = server.max_concurrent_rpcs_per_caller or max(server.max_concurrent_rpcs // 2, 1)
    return Bounds(server.max_concurrent_rpcs, of_one, server.max_message_bytes)


def _offset_rules(config: Config) -> dict[str, OffsetRule]:
    """Return what is known of the venues' clocks."""
    max_ahead_ms = 60_000 if config.state.is_embedded else LONGEST_SHARED_OFFSET_MS
    return {
        name: OffsetRule(
            None if venue.clock_offset_ms == "estimate" else venue.clock_offset_ms,
            venue.max_clock_offset_ms,
            max_ahead_ms,
        )
        for name, venue in config.venues.items()
    }
