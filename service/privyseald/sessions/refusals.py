"""What a venue said to a login, and for how long it is not asked again.

| what the venue said | how long it is left alone |
|---|---|
| no | 30 s, doubling to an hour |
| nothing that tells what happened | 5 s, doubling to an hour |
| the account is locked | until a custodian enables or rotates the key |
| a second factor is pending | the same, but for logins that bring a code |

So a venue that always says no is asked at most 7 times in the first hour and 30 in the first
day, and one that never says anything clear 10 and 33 times, by all servers together.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

from privyseald.errors import (
    LoginBackingOff,
    VenueAccountLocked,
    VenueOutcomeUnknown,
    VenueRefused,
    VenueTwoFactorPending,
    leaves,
)
from privyseald.key import Key

_FIRST_BACKOFF_MS = 30_000
_FIRST_UNKNOWN_BACKOFF_MS = 5_000
_LAST_BACKOFF_MS = 3_600_000

VenueAnswer = VenueRefused | VenueOutcomeUnknown
_KINDS: Mapping[str, type[VenueAnswer]] = {
    kind.reason: kind
    for root in (VenueRefused, VenueOutcomeUnknown)
    for kind in leaves(root)
    if issubclass(kind, VenueAnswer)
}


@dataclass(frozen=True, slots=True)
class Attempts:
    """How logins of an account went since the last that worked.

    `is_pending` stands while a venue is asked: who finds it so knows that a server died.
    """

    backoff_ms: int = 0
    is_pending: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the venue said; not the exception, whose frames hold what was sent.

    `wait_ms` is for how long it counts from `begin_ms` on; None until a custodian acts.
    """

    reason: str
    message: str
    metadata: Mapping[str, str]
    begin_ms: int
    wait_ms: int | None
    needs_code: bool = False

    def error(self, now_ms: int) -> VenueAnswer:
        """Return the refusal as the venue's, for those who waited for its answer."""
        kind = _KINDS.get(self.reason, VenueRefused)
        return kind(self.message, metadata=self.metadata, retry_after_ms=self._left_ms(now_ms))

    def told_again(self, key: Key, now_ms: int) -> VenueAnswer | LoginBackingOff:
        """Return what those hear who come later, and have not made the venue say it."""
        kind = _KINDS.get(self.reason, VenueRefused)
        left_ms = self._left_ms(now_ms)
        if left_ms is None or issubclass(kind, VenueOutcomeUnknown):
            return self.error(now_ms)
        return LoginBackingOff(
            f"the venue refused the last login of {key.name}; asking again could lock the "
            f"account, so wait {-(-left_ms // 1_000)} s. It said: {self.message}",
            metadata={"key": key.name, "refusal": self.reason},
            retry_after_ms=left_ms,
        )

    def _left_ms(self, now_ms: int) -> int | None:
        """Return how much of the wait is left. It is the state's clock that ends it: a wall
        clock that was set makes this wrong, but never longer than the whole.
        """
        if self.wait_ms is None:
            return None
        return min(max(self.begin_ms + self.wait_ms - now_ms, 1), self.wait_ms)


def refuse(
    error: VenueAnswer, key: Key, before: Attempts, *, has_code: bool, now_ms: int
) -> tuple[Refusal, Attempts]:
    """Return for how long an answer counts, and what is remembered for the next one."""
    if isinstance(error, VenueAccountLocked):
        advice = (
            "; no login is tried until a custodian says that it is unlocked, with "
            f"'privyseal keys enable {key.key_id}'"
        )
        return _for_good(error, advice, now_ms), Attempts(_LAST_BACKOFF_MS)
    if isinstance(error, VenueTwoFactorPending) and not has_code:
        # The venue took the key; this is no failure in its eyes.
        return _for_good(error, "", now_ms, needs_code=True), Attempts(before.backoff_ms)
    is_unknown = isinstance(error, VenueOutcomeUnknown)
    first_ms = _FIRST_UNKNOWN_BACKOFF_MS if is_unknown else _FIRST_BACKOFF_MS
    backoff_ms = min(max(first_ms, 2 * before.backoff_ms), _LAST_BACKOFF_MS)
    # What the venue itself asks for may be longer.
    wait_ms = max(backoff_ms, error.retry_after_ms or 0)
    refusal = Refusal(error.reason, error.message, error.metadata, now_ms, wait_ms)
    return refusal, Attempts(backoff_ms)


def _for_good(error: VenueAnswer, advice: str, now_ms: int, *, needs_code: bool = False) -> Refusal:
    return Refusal(
        error.reason, error.message + advice, error.metadata, now_ms, None, needs_code=needs_code
    )


@dataclass(frozen=True, slots=True)
class Turn:
    """What stands under an account's name: who asks its venue, or what it said last."""

    holder: str = ""
    refusal: Refusal | None = None

    @classmethod
    def of_json(cls, data: bytes) -> "Turn | None":
        """Return what `to_json` wrote; None for what no server of this release wrote."""
        try:
            return _TURN.validate_json(data)
        except ValueError:
            return None

    def to_json(self) -> bytes:
        """Return it as it goes, sealed, into the state."""
        return _TURN.dump_json(self)


def attempts_of_json(data: bytes) -> Attempts:
    """Return what `attempts_to_json` wrote; none for anything else."""
    try:
        return _ATTEMPTS.validate_json(data)
    except ValueError:
        return Attempts()


def attempts_to_json(attempts: Attempts) -> bytes:
    """Return it as it goes, sealed, into the state."""
    return _ATTEMPTS.dump_json(attempts)


_TURN = TypeAdapter(Turn)
_ATTEMPTS = TypeAdapter(Attempts)
