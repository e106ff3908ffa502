"""What a server's metrics are read from: the things themselves, which count as they go."""

from dataclasses import dataclass

from privyseald.audit.log import AuditLog
from privyseald.clock import Clock
from privyseald.clock_offsets import ClockOffsets
from privyseald.holds.holds import Holds
from privyseald.holds.shared_holds import SharedHolds
from privyseald.idempotency.idempotency import Idempotency
from privyseald.nonces import NonceSource
from privyseald.open_doors import Edge
from privyseald.policy.watch import PolicyWatch
from privyseald.readiness import Readiness
from privyseald.rpc.pipeline import Pipeline
from privyseald.rpc.server import GrpcServer
from privyseald.rpc.streams import Streams
from privyseald.secretstore.cache import KeyCache
from privyseald.secretstore.escrow import Escrow
from privyseald.sessions.sessions import Sessions
from privyseald.state.state import State
from privyseald.telemetry.watched import Watched
from privyseald.usecases.create_key_saga import CreateKeySaga
from privyseald.usecases.open_key import OpenedKey
from privyseald.usecases.reconcile import Reconcile
from privyseald.usecases.renew_sessions import RenewSessions
from privyseald.usecases.sign import Sign
from privyseald.vault.client import VaultClient


@dataclass(frozen=True, slots=True)
class ServedRpcs:
    """What serves, and counts what it serves."""

    server: GrpcServer
    pipeline: Pipeline
    streams: Streams
    sign: Sign
    idempotency: Idempotency
    nonces: NonceSource


@dataclass(frozen=True, slots=True)
class Backends:
    """What the server stands on. `vault` is None where the store is a file."""

    cache: KeyCache[OpenedKey]
    vault: VaultClient | None
    state: State
    audit: AuditLog
    readiness: Readiness


@dataclass(frozen=True, slots=True)
class AtVenues:
    """What the server does at venues by itself."""

    offsets: ClockOffsets
    sessions: Sessions
    renewals: RenewSessions
    saga: CreateKeySaga
    escrow: Escrow
    reconcile: Reconcile


@dataclass(frozen=True, slots=True)
class Rules:
    """What says no."""

    policy: PolicyWatch
    holds: Holds
    shared_holds: SharedHolds


@dataclass(frozen=True, slots=True)
class Sources:
    """All of it."""

    clock: Clock
    rpcs: ServedRpcs
    backends: Backends
    venues: AtVenues
    rules: Rules
    edge: Edge
    watched: Watched
