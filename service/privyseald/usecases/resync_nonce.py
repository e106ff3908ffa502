"""ResyncNonce: the nonces of a key, put right by hand."""

import re

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.errors import FieldInvalid, NonceUnsupported
from privyseald.nonces import NonceSource, Numbers
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.state.state import HIGHEST
from privyseald.usecases.open_key import OpenedKey, OpenKey

_NUMBER = re.compile(r"[0-9]{1,20}")
# Without a window: room for microseconds, which another system may have used, and as much again
# for what comes after.
_HIGHEST = HIGHEST // 2


class ResyncNonce:
    """Brings the counter down to the venue's clock, or above what the venue has seen."""

    def __init__(self, policy: Policy, open_key: OpenKey, nonces: NonceSource) -> None:
        self._policy = policy
        self._open_key = open_key
        self._nonces = nonces

    async def __call__(
        self, caller: Caller, key_id: str, above: str, entry: Entry
    ) -> tuple[int, int]:
        """Return the highest nonce before, and what the next one will be above.

        Raises NonceUnsupported, FieldInvalid where `above` is no nonce that the venue would take,
        StateUnavailable….
        """
        self._policy.admit(caller, Action.RESYNC_NONCE, key_id)
        opened = await self._open_key(key_id)
        key = opened.credential.key
        entry.venue, entry.key_version = key.venue, key.version
        entry.rule = self._policy.check(caller, Action.RESYNC_NONCE, key_id, key)
        numbers = numbers_of(opened)
        if numbers is None:
            raise NonceUnsupported(
                f"requests with {key.name} carry no nonce of Privyseal's, so there is nothing to "
                "bring in line; where a time is refused, check the clock and the venue's "
                "clock_offset_ms",
                metadata={"key": key.name},
            )
        if not above:
            entry.operation = "down to the clock"
            return await self._nonces.resync(numbers)
        entry.operation = f"above {above[:20]}"
        return await self._nonces.pass_over(numbers, self._checked(above, numbers))

    def _checked(self, above: str, numbers: Numbers) -> int:
        if not _NUMBER.fullmatch(above):
            raise FieldInvalid("above", "is no nonce; give one that the venue has seen, in digits")
        nonce, highest = int(above), _HIGHEST
        if numbers.lead_ms is not None:
            highest = self._nonces.now(numbers) + numbers.lead_ms * numbers.units
        if nonce > highest:
            raise FieldInvalid(
                "above",
                f"is higher than {highest}, and the venue would refuse what comes after it; "
                f"its nonces count {numbers.policy.unit} of Unix time",
            )
        return nonce


def numbers_of(opened: OpenedKey) -> Numbers | None:
    """Return the nonces of a key, as its requests or its logins carry them; None for none."""
    policy = opened.venue.nonce_policy(opened.credential, None)
    return None if policy is None else Numbers(opened.credential.key, policy)
