"""The port of a venue: what it takes, how it signs, and what it can do beside that.

A venue signs as a pure function of request, credential, nonce and time. Adding one is one
file: see docs/adding-a-venue.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from privyseald.key import Algorithm
from privyseald.outbound.outbound import Outbound
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Credential
from privyseald.venues.http_request import HttpRequest


@dataclass(frozen=True, slots=True)
class SignedHttpRequest:
    """The exact bytes to send. It is a credential while it lasts, so repr hides it."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    expire_time_ms: int | None = None

    def shifted(self, offset_ms: int) -> "SignedHttpRequest":
        """Return the same as a clock sees it that is so far ahead."""
        if offset_ms == 0 or self.expire_time_ms is None:
            return self
        return replace(self, expire_time_ms=self.expire_time_ms + offset_ms)


class NonceUnit(StrEnum):
    """What a nonce counts: Unix milliseconds or microseconds."""

    MS = "ms"
    US = "us"


class NonceOrder(StrEnum):
    """What the venue asks of two nonces of one key."""

    INCREASING = "increasing"
    UNIQUE = "unique"


@dataclass(frozen=True, slots=True)
class NoncePolicy:
    """How the venue judges a nonce. `window_ms` is how far it may be from the venue's clock."""

    unit: NonceUnit
    order: NonceOrder
    window_ms: int | None


class Coverage(StrEnum):
    """What of the request the signature binds."""

    NOTHING = "nothing"
    PARAMETERS = "parameters"
    PATH_AND_BODY = "path-and-body"


@dataclass(frozen=True, slots=True)
class Operation:
    """A named request of the venue's API. In `path`, `{name}` stands for one segment.

    `required` are parameters without which the venue refuses it. They are told for what must
    not be reached by a signature meant for something else.
    """

    name: str
    method: str
    path: str
    tags: tuple[str, ...]
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Environment:
    """One deployment of the venue. `hosts` maps a path's beginning to the base URL."""

    name: str
    hosts: tuple[tuple[str, str], ...]

    def url(self, path: str) -> str | None:
        """Return base URL and path, or None when the venue serves no such path."""
        for beginning, base in self.hosts:
            if path.startswith(beginning):
                return base + path
        return None


@dataclass(frozen=True, slots=True)
class Field:
    """A public field of a key document, or an option. `pattern` matches the whole value."""

    name: str
    about: str
    pattern: re.Pattern[str]
    required: bool = False
    example: str = ""


@dataclass(frozen=True, slots=True)
class KeyKind:
    """One kind of key that the venue takes. `public_id` names the field that identifies it;
    where it is empty, the signer's own address or public key does.
    """

    algorithm: Algorithm
    about: str
    fields: tuple[Field, ...]
    public_id: str = ""
    intents: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Session:
    """A venue login. `headers` are ready to add to a request."""

    token: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    user_id: str
    create_time_ms: int
    expire_time_ms: int | None

    def shifted(self, offset_ms: int) -> "Session":
        """Return the same as a clock sees it that is so far ahead."""
        if offset_ms == 0:
            return self
        end_ms = None if self.expire_time_ms is None else self.expire_time_ms + offset_ms
        return replace(self, create_time_ms=self.create_time_ms + offset_ms, expire_time_ms=end_ms)


@dataclass(frozen=True, slots=True)
class Moment:
    """The time and the nonce to sign with. Both are facts that the venue is handed.

    They are of the venue's clock, which is `offset_ms` ahead of ours; so is the end of what is
    signed by them.
    """

    time_ms: int
    nonce: int | None = None
    offset_ms: int = 0

    @property
    def our_time_ms(self) -> int:
        """The same time on our clock."""
        return self.time_ms - self.offset_ms


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """What a caller asks a venue to issue."""

    description: str
    allowed_ips: tuple[str, ...]
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key that a venue issued, on its way into the store."""

    algorithm: Algorithm
    fields: Mapping[str, str]
    material: SecretBytes = field(repr=False)


class Venue(Protocol):
    """What every venue states and does."""

    @property
    def name(self) -> str:
        """The name, as callers write it."""

    @property
    def about(self) -> str:
        """What it is, in a sentence."""

    @property
    def environments(self) -> tuple[Environment, ...]:
        """Its deployments; the first is meant where none is named."""

    @property
    def key_kinds(self) -> tuple[KeyKind, ...]:
        """The kinds of keys that it takes; the first is meant where none is named."""

    @property
    def coverage(self) -> Coverage:
        """What a signature binds."""

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The requests that it is known to take."""

    @property
    def nonce_policies(self) -> tuple[NoncePolicy, ...]:
        """How it may judge nonces."""

    def normalise(self, request: HttpRequest, credential: Credential) -> HttpRequest:
        """Return the request as it will be signed. Policy sees this, and nothing else is signed.

        Raises RequestInvalid naming the field, before a nonce is spent.
        """

    def nonce_policy(self, credential: Credential, session: Session | None) -> NoncePolicy | None:
        """Return how a nonce for the next signature is judged; None when it needs none."""

    async def sign(
        self,
        request: HttpRequest,
        credential: Credential,
        environment: Environment,
        moment: Moment,
        session: Session | None,
    ) -> SignedHttpRequest:
        """Return the bytes to send for a request that `normalise` returned."""


class SessionUse(StrEnum):
    """Whether a key signs by the current session. Field `sign_with` of the key document."""

    PREFERRED = "session-or-stateless"
    REQUIRED = "session"
    NEVER = "stateless"


class SessionVenue(Venue, Protocol):
    """A venue that logs in."""

    @property
    def login_options(self) -> tuple[Field, ...]:
        """What `options` of a login may hold."""

    def session_use(self, credential: Credential) -> SessionUse:
        """Return whether `sign` wants a session of this key."""

    def login_nonce_policy(self, credential: Credential) -> NoncePolicy | None:
        """Return how the login's nonce is judged. Raises LoginUnsupported for a wrong key."""

    async def login(
        self,
        credential: Credential,
        environment: Environment,
        moment: Moment,
        options: Mapping[str, str],
        outbound: Outbound,
    ) -> Session:
        """Open a session at the venue. Raises VenueRefused, VenueUnreachable, or
        VenueOutcomeUnknown.
        """

    async def logout(
        self,
        credential: Credential,
        environment: Environment,
        session: Session,
        outbound: Outbound,
    ) -> None:
        """End the session at the venue, where the venue can."""


class IssuingVenue(Venue, Protocol):
    """A venue that issues keys by its API."""

    @property
    def create_key_options(self) -> tuple[Field, ...]:
        """What `options` of an order may hold."""

    def check_order(self, credential: Credential, order: KeyOrder) -> None:
        """Raise RequestInvalid or CreateKeyUnsupported before anything is reserved."""

    async def create_key(
        self,
        credential: Credential,
        environment: Environment,
        order: KeyOrder,
        outbound: Outbound,
    ) -> IssuedKey:
        """Ask the venue for a key: the order is the last that is sent. Raises VenueRefused when it
        surely issued none, VenueOutcomeUnknown when it may have.
        """
