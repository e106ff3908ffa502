"""Every failure that Privyseal has a name for.

PrivysealError
  RequestInvalid             the caller's message is wrong; `field` says where
    FieldInvalid             a field is missing, malformed or too long
    BodyInvalid              the body is not what the venue takes
    ParameterReserved        the request already holds what the signer must add
    IntentUnsupported        this venue or key does not sign such a thing
    OptionUnknown            an option that the venue does not have
    RequestIdReused          the request id belongs to a different request
    MessageUnparseable       the bytes are no message of this RPC
  CallerUnproved             nobody proved who calls
  PolicyDenied               no rule allows it
  KeyUnknown, VenueUnknown, HoldUnknown   there is no such thing
  KeyExists                  the key id is taken
  PreconditionFailed         the request is right, the state of things is not
    KeyDisabled, KeyCreating, KeyEscrowed, KeyVersionExpired, KeyChanged,
    CredentialMalformed, RotateKeyUnsupported
    LoginUnsupported, CreateKeyUnsupported, AlgorithmUnsupported
    SessionMissing, LoginBackingOff, NonceAhead, NonceUnsupported, Held
    SecretStoreForbidden     the store refuses this service
    VenueRefused             the venue said no
      VenueCredentialRejected, VenueAccountLocked, VenueTwoFactorPending,
      VenueDescriptionTaken, VenueAccountMissing, VenueNonceRejected, VenueRateLimited
  LimitExceeded              a limit of the policy is spent
  Overloaded                 too much at once
  Unavailable                something below is away; `retry_after_ms` says when to try again
    SecretStoreSealed, SecretStoreUnreachable, EscrowUnavailable, StateUnavailable,
    ClockSkewed, AuditUnavailable, ServerStopping
    VenueUnreachable         the venue did not get the request
    VenueOutcomeUnknown      the venue may have acted on the request
  RpcNotImplemented          the RPC is part of the contract, but not of this release (none is now)

A message is written for the caller: it says what to do, and quotes neither a secret nor
text from another library. `reason` is a value of the proto enum `ErrorReason`.
"""

from collections.abc import Mapping
from typing import ClassVar


class PrivysealError(Exception):
    """The root. Only leaves are raised."""

    reason: ClassVar[str]

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after_ms = retry_after_ms


class RequestInvalid(PrivysealError):
    """The caller's message is wrong. `field` is its path in the request message."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", metadata={"field": field})
        self.field = field
        self.description = message


class FieldInvalid(RequestInvalid):
    """A field is missing, malformed or too long."""

    reason = "FIELD_INVALID"


class BodyInvalid(RequestInvalid):
    """The body is not what the venue takes."""

    reason = "BODY_INVALID"


class ParameterReserved(RequestInvalid):
    """The request already holds a parameter that the signer must add itself."""

    reason = "PARAMETER_RESERVED"


class IntentUnsupported(RequestInvalid):
    """The venue, or the key, does not sign such a thing."""

    reason = "INTENT_UNSUPPORTED"


class OptionUnknown(RequestInvalid):
    """An option that the venue does not have."""

    reason = "OPTION_UNKNOWN"


class RequestIdReused(RequestInvalid):
    """The request id was used before, for a different request."""

    reason = "REQUEST_ID_REUSED"


class MessageUnparseable(RequestInvalid):
    """The bytes are no message of this RPC."""

    reason = "MESSAGE_UNPARSEABLE"


class CallerUnproved(PrivysealError):
    """Nobody proved who calls."""

    reason = "CALLER_UNPROVED"


class PolicyDenied(PrivysealError):
    """No rule allows it. Also what a caller without rights hears of a key that does not exist."""

    reason = "POLICY_DENIED"


class KeyUnknown(PrivysealError):
    """There is no such key."""

    reason = "KEY_UNKNOWN"


class VenueUnknown(PrivysealError):
    """There is no such venue."""

    reason = "VENUE_UNKNOWN"


class HoldUnknown(PrivysealError):
    """There is no such hold."""

    reason = "HOLD_UNKNOWN"


class KeyExists(PrivysealError):
    """The key id is taken."""

    reason = "KEY_EXISTS"


class PreconditionFailed(PrivysealError):
    """The request is right, the state of things is not."""


class KeyDisabled(PreconditionFailed):
    """A custodian disabled the key."""

    reason = "KEY_DISABLED"


class KeyCreating(PreconditionFailed):
    """The key is reserved, its credential is not there yet."""

    reason = "KEY_CREATING"


class KeyEscrowed(PreconditionFailed):
    """The venue issued the key, and it waits in escrow until the secret store takes it."""

    reason = "KEY_ESCROWED"


class KeyVersionExpired(PreconditionFailed):
    """The version of the key was replaced, and the time until which it was accepted is over."""

    reason = "KEY_VERSION_EXPIRED"


class KeyChanged(PreconditionFailed):
    """Somebody else changed the key at the same moment; nothing was written."""

    reason = "KEY_CHANGED"


class RotateKeyUnsupported(PreconditionFailed):
    """The secret is where this service can't replace it."""

    reason = "ROTATE_KEY_UNSUPPORTED"


class CredentialMalformed(PreconditionFailed):
    """What the store holds for the key lacks a field or has a bad one."""

    reason = "CREDENTIAL_MALFORMED"


class LoginUnsupported(PreconditionFailed):
    """The venue has no session, or this kind of key can't open one."""

    reason = "LOGIN_UNSUPPORTED"


class CreateKeyUnsupported(PreconditionFailed):
    """The venue issues no keys by its API, or this kind of key can't ask for one."""

    reason = "CREATE_KEY_UNSUPPORTED"


class AlgorithmUnsupported(PreconditionFailed):
    """The venue takes no keys of this algorithm."""

    reason = "ALGORITHM_UNSUPPORTED"


class SessionMissing(PreconditionFailed):
    """The key signs by session only, and there is none."""

    reason = "SESSION_MISSING"


class LoginBackingOff(PreconditionFailed):
    """The venue refused a login a short time ago; asking again could lock the account."""

    reason = "LOGIN_BACKING_OFF"


class NonceAhead(PreconditionFailed):
    """The last nonce is so far ahead of the clock that the venue would refuse the next one."""

    reason = "NONCE_AHEAD"


class NonceUnsupported(PreconditionFailed):
    """The key's requests carry no nonce."""

    reason = "NONCE_UNSUPPORTED"


class Held(PreconditionFailed):
    """Somebody stopped the key, its venue, the caller or all."""

    reason = "HELD"


class SecretStoreForbidden(PreconditionFailed):
    """The secret store refuses this service."""

    reason = "SECRET_STORE_FORBIDDEN"


class VenueRefused(PreconditionFailed):
    """The venue said no. `venueCode` and `venueMessage` are in the metadata, cleaned."""

    reason = "VENUE_REFUSED"


class VenueCredentialRejected(VenueRefused):
    """The venue does not accept the key or its signature."""

    reason = "VENUE_CREDENTIAL_REJECTED"


class VenueAccountLocked(VenueRefused):
    """The venue locked the account; only its administrator can unlock it."""

    reason = "VENUE_ACCOUNT_LOCKED"


class VenueTwoFactorPending(VenueRefused):
    """The venue wants a second factor before it opens a session."""

    reason = "VENUE_TWO_FACTOR_PENDING"


class VenueDescriptionTaken(VenueRefused):
    """The venue has a key of that description already."""

    reason = "VENUE_DESCRIPTION_TAKEN"


class VenueAccountMissing(VenueRefused):
    """The venue knows no account for this wallet."""

    reason = "VENUE_ACCOUNT_MISSING"


class VenueNonceRejected(VenueRefused):
    """The venue refused the nonce or the time in the request."""

    reason = "VENUE_NONCE_REJECTED"


class VenueRateLimited(VenueRefused):
    """The venue wants fewer requests."""

    reason = "VENUE_RATE_LIMITED"


class LimitExceeded(PrivysealError):
    """A limit of the policy's rule is spent. Nothing was signed."""

    reason = "LIMIT_EXCEEDED"


class Overloaded(PrivysealError):
    """Too much at once."""

    reason = "OVERLOADED"


class Unavailable(PrivysealError):
    """Something below is away. Nothing was signed."""


class SecretStoreSealed(Unavailable):
    """Vault is sealed or not initialised."""

    reason = "SECRET_STORE_SEALED"


class SecretStoreUnreachable(Unavailable):
    """The secret store does not answer, or answers with a fault of its own."""

    reason = "SECRET_STORE_UNREACHABLE"


class EscrowUnavailable(Unavailable):
    """The escrow directory can't be written, so no venue was asked for a key."""

    reason = "ESCROW_UNAVAILABLE"


class StateUnavailable(Unavailable):
    """The state that keeps nonces and sessions can't be read or written."""

    reason = "STATE_UNAVAILABLE"


class ClockSkewed(Unavailable):
    """A replica's clock and the shared state's are too far apart to give nonces."""

    reason = "CLOCK_SKEWED"


class AuditUnavailable(Unavailable):
    """The audit line could not be written, so the answer was withheld."""

    reason = "AUDIT_UNAVAILABLE"


class ServerStopping(Unavailable):
    """The server stops, and ends its streams; another one takes them."""

    reason = "SERVER_STOPPING"


class VenueUnreachable(Unavailable):
    """The venue did not get the request; nothing happened there."""

    reason = "VENUE_UNREACHABLE"


class VenueOutcomeUnknown(Unavailable):
    """The venue may have acted on the request; its answer is missing or makes no sense."""

    reason = "VENUE_OUTCOME_UNKNOWN"


class RpcNotImplemented(PrivysealError):
    """The RPC is part of the contract, but not of this release."""

    reason = "RPC_NOT_IMPLEMENTED"


def leaves(root: type[PrivysealError] = PrivysealError) -> list[type[PrivysealError]]:
    """Return every class that has a reason, in the order of the tree."""
    found = [root] if "reason" in vars(root) else []
    for child in root.__subclasses__():
        found += leaves(child)
    return found
