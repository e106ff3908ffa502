"""Fakes of the ports that reach outside: time, the way to venues, and what replicas share."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

from privyseald.errors import KeyExists, KeyUnknown, PrivysealError
from privyseald.key import Algorithm, Key, KeyState
from privyseald.outbound.outbound import OutboundRequest, OutboundResponse
from privyseald.secretstore.document import KeyDocument, open_document
from privyseald.secretstore.facts import facts_of
from privyseald.secretstore.origin import Origin
from privyseald.secretstore.refusals import key_changed, key_creating
from privyseald.secretstore.store import KeyPage
from privyseald.signing.schemes import make_signer
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Credential
from privyseald.state.counter import Counter
from privyseald.state.sealed_values import SealedValues
from privyseald.state.spent import Spent
from privyseald.state.state import Charge, Shortage, State, Step, Value

_T = TypeVar("_T")
NOW_MS = 1_700_000_000_000

Answer = OutboundResponse | PrivysealError


class FakeClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, time_us: int = NOW_MS * 1_000, monotonic_ms: int = 1_000) -> None:
        self._time_us = time_us
        self._monotonic_ms = monotonic_ms

    def time_us(self) -> int:
        """Return the wall time that was set."""
        return self._time_us

    def monotonic_ms(self) -> int:
        """Return the monotonic time, which only `advance` moves."""
        return self._monotonic_ms

    def monotonic_us(self) -> int:
        """Return the same in microseconds."""
        return self.monotonic_ms() * 1_000

    def advance(self, milliseconds: int) -> None:
        """Let time pass, on both clocks."""
        self._time_us += milliseconds * 1_000
        self._monotonic_ms += milliseconds

    def step(self, milliseconds: int) -> None:
        """Set the wall clock forward or back, as an operator or NTP does."""
        self._time_us += milliseconds * 1_000


class FakeOutbound:
    """Gives scripted answers in turn, the last one for ever, and keeps what was sent."""

    def __init__(self, *script: Answer | Callable[[OutboundRequest], Answer]) -> None:
        self._script = list(script)
        self.sent: list[OutboundRequest] = []

    async def send(self, request: OutboundRequest) -> OutboundResponse:
        """Return or raise what the script says."""
        self.sent.append(request)
        step = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        answer = step(request) if callable(step) else step
        if isinstance(answer, PrivysealError):
            raise answer
        return answer


async def _nothing(_method: str, _key_id: str) -> None:
    """Let the store do as it is asked."""


class FakeStore:
    """Keys in memory. `before` and `after` run around each call: to note it, hold it up, raise."""

    def __init__(self) -> None:
        self.before: Callable[[str, str], Awaitable[None]] = _nothing
        self.after: Callable[[str, str], Awaitable[None]] = _nothing
        self.calls: list[tuple[str, str]] = []
        self._held: dict[str, tuple[Key, KeyDocument]] = {}
        self._own_keys: dict[str, bytes] = {}
        self._marks: dict[str, int] = {}

    async def open(self, key_id: str) -> Credential:
        """Return the key ready for use."""

        def act() -> Credential:
            key, document = self._find(key_id)
            if key.state is KeyState.CREATING or document.material is None:
                raise key_creating(key_id)
            copy = SecretBytes(document.material.reveal())
            opened = open_document(key, replace(document, material=copy))
            return replace(opened, revision=self._revision(key_id))

        return await self._do("open", key_id, act)

    async def revision(self, key_id: str) -> str:
        """Return a mark that changes with the key."""
        return await self._do("revision", key_id, lambda: self._revision(key_id))

    async def get(self, key_id: str) -> Key:
        """Return the public facts."""
        return await self._do("get", key_id, lambda: self._find(key_id)[0])

    async def list(self, after: str, limit: int) -> KeyPage:
        """Return up to `limit` keys whose ids come after `after`."""
        ids = sorted(each for each in self._held if each > after)
        page = tuple(self._held[each][0] for each in ids[:limit])
        more = page[-1].key_id if len(ids) > limit else ""
        return await self._do("list", after, lambda: KeyPage(page, more))

    async def create(self, key_id: str, document: KeyDocument) -> Key:
        """Write a key that must not exist yet."""

        def act() -> Key:
            if key_id in self._held:
                raise KeyExists("is taken")
            return self._put(key_id, document, 1)

        return await self._do("create", key_id, act)

    async def complete(self, key_id: str, document: KeyDocument) -> Key:
        """Replace a reservation; once more with the same key changes nothing."""

        def act() -> Key:
            key, held = self._find(key_id)
            if held.is_same_key(document):
                return key
            if not held.reserves(document):
                raise KeyExists("is taken")
            return self._put(key_id, document, key.version + 1)

        return await self._do("complete", key_id, act)

    async def rotate(self, key_id: str, version: int, document: KeyDocument) -> Key:
        """Write the next version, and keep nothing of the one before."""

        def act() -> Key:
            if self._find(key_id)[0].version != version:
                raise key_changed(key_id)
            return self._put(key_id, document, version + 1)

        return await self._do("rotate", key_id, act)

    async def retire(self, key_id: str) -> None:
        """Do nothing: there is no version before."""
        await self._do("retire", key_id, lambda: None)

    async def set_state(self, key_id: str, state: KeyState) -> Key:
        """Disable or enable a key."""

        def act() -> Key:
            key, document = self._find(key_id)
            if key.state is KeyState.CREATING:
                raise key_creating(key_id)
            self._held[key_id] = (replace(key, state=state), document)
            return self._held[key_id][0]

        return await self._do("set_state", key_id, act)

    async def delete(self, key_id: str) -> None:
        """Remove the key."""

        def act() -> None:
            self._find(key_id)
            del self._held[key_id]

        await self._do("delete", key_id, act)

    async def origin(self, key_id: str) -> Origin:
        """Return by which request the key came about."""
        return await self._do("origin", key_id, lambda: Origin.of(*self._find(key_id)))

    async def own_key(self, name: str, make: Callable[[], SecretBytes]) -> SecretBytes:
        """Return a key of the service's own."""

        def act() -> SecretBytes:
            if name not in self._own_keys:
                self._own_keys[name] = make().reveal()
            return SecretBytes(self._own_keys[name])

        return await self._do("own_key", name, act)

    async def unwrap(self, token: SecretBytes, name: str) -> SecretBytes:
        """Return the token itself, which is its own secret here."""
        return await self._do("unwrap", name, lambda: SecretBytes(token.reveal()))

    async def check(self) -> None:
        """Ask `before`."""
        await self._do("check", "", lambda: None)

    async def close(self) -> None:
        """Hold nothing any more."""
        self._held.clear()

    async def _do(self, method: str, key_id: str, act: Callable[[], _T]) -> _T:
        self.calls.append((method, key_id))
        await self.before(method, key_id)
        result = act()
        await self.after(method, key_id)
        return result

    def _find(self, key_id: str) -> tuple[Key, KeyDocument]:
        if key_id not in self._held:
            raise KeyUnknown("there is no such key")
        return self._held[key_id]

    def _revision(self, key_id: str) -> str:
        key, _ = self._find(key_id)
        return f"{key.version} {key.state} {self._marks[key_id]}"

    def _put(self, key_id: str, document: KeyDocument, version: int) -> Key:
        self._marks[key_id] = len(self.calls)
        if document.material is not None:  # whoever gave it may wipe it
            document = replace(document, material=SecretBytes(document.material.reveal()))
        key = facts_of(document).key(key_id, document.state, version, NOW_MS, NOW_MS)
        self._held[key_id] = (key, document)
        return key


class FakeState:
    """A state in memory whose times go by a FakeClock. `before` and `after` run around each
    call: to note it, hold it up, raise.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.before: Callable[[str, str], Awaitable[None]] = _nothing
        self.after: Callable[[str, str], Awaitable[None]] = _nothing
        self.values: dict[str, Value] = {}
        self._clock = clock
        self._ends: dict[str, int] = {}
        self._counters: dict[str, Counter] = {}
        self._spent = Spent()
        self._version = 0

    async def advance(self, name: str, step: Step) -> int:
        """Return the counter's next value."""
        await self.before("advance", name)
        counter = self._counters.get(name, Counter())
        value, self._counters[name] = counter.advance(step.floor, step.ceiling, step.gap)
        await self.after("advance", name)
        return value

    async def resync(self, name: str, target: int) -> tuple[int, int]:
        """Bring the counter to `target`."""
        await self.before("resync", name)
        counter = self._counters.get(name, Counter())
        self._counters[name] = counter.resync(target)
        return counter.last, self._counters[name].last

    async def get(self, name: str) -> Value | None:
        """Return what stands there."""
        await self.before("get", name)
        found = self._find(name)
        await self.after("get", name)
        return found

    async def put(
        self, name: str, data: bytes, *, version: int | None = None, ttl_ms: int | None = None
    ) -> int | None:
        """Write, if `version` stands there."""
        await self.before("put", name)
        written = None
        if self._is(name, version):
            self._version = written = self._version + 1
            self.values[name] = Value(data, written)
            life_ms = 10**15 if ttl_ms is None else ttl_ms
            self._ends[name] = self._clock.monotonic_ms() + life_ms
        await self.after("put", name)
        return written

    async def delete(self, name: str, *, version: int | None = None) -> bool:
        """Remove, if `version` stands there."""
        await self.before("delete", name)
        removed = self._is(name, version)
        if removed:
            self.values.pop(name, None)
        await self.after("delete", name)
        return removed

    async def list(self, prefix: str) -> Mapping[str, Value]:
        """Return all values whose names begin so."""
        await self.before("list", prefix)
        found = {name: self._find(name) for name in list(self.values) if name.startswith(prefix)}
        return {name: value for name, value in found.items() if value is not None}

    async def spend(self, charges: Sequence[Charge], *, look: bool = False) -> Shortage | None:
        """Spend all charges, or nothing of them."""
        await self.before("spend", charges[0].name)
        short = self._spent.spend(charges, self._clock.monotonic_ms(), look=look)
        await self.after("spend", charges[0].name)
        return short

    async def signal(self, name: str) -> None:
        """Tell nobody."""
        await self.before("signal", name)

    @asynccontextmanager
    async def signals(self) -> AsyncIterator[AsyncIterator[str]]:
        """Hear nothing."""

        async def silence() -> AsyncIterator[str]:
            names: tuple[str, ...] = ()
            for name in names:
                yield name

        yield silence()

    async def check(self) -> None:
        """Ask `before`."""
        await self.before("check", "")

    async def close(self) -> None:
        """Keep all: it outlives those who use it."""

    def _find(self, name: str) -> Value | None:
        if name in self.values and self._clock.monotonic_ms() >= self._ends[name]:
            del self.values[name]
        return self.values.get(name)

    def _is(self, name: str, version: int | None) -> bool:
        found = self._find(name)
        return version in (None, found.version if found else 0)


def sealed(state: State) -> SealedValues:
    """Return a way to the state under a key that is always the same."""

    async def key() -> SecretBytes:
        return SecretBytes(bytes(range(32)))

    return SealedValues(state, key)


def answer(
    value: object, *, status: int = 200, content_type: str = "application/json"
) -> OutboundResponse:
    """Return a response: bytes as they are, anything else as JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return OutboundResponse(status, content_type, body)


def credential(
    venue: str,
    algorithm: Algorithm,
    material: str,
    fields: Mapping[str, str] | None = None,
    *,
    environment: str = "production",
) -> Credential:
    """Return an opened key with a real signer, as a secret store would."""
    signer = make_signer(algorithm, SecretBytes(material))
    fields = dict(fields or {})
    key = Key(
        key_id="desk-1",
        venue=venue,
        environment=environment,
        algorithm=algorithm,
        public_id=fields.get("api_key", signer.public_id),
        state=KeyState.ENABLED,
        version=1,
        create_time_ms=NOW_MS,
        update_time_ms=NOW_MS,
        public_key_pem=signer.public_key_pem,
    )
    return Credential(key, fields, signer)
