"""Signs generated requests by the real use case, over a real store, state and venues."""

import math
from collections import Counter
from pathlib import Path

from fakes import FakeClock, sealed
from policy.fuzz_case import Case
from policy.fuzz_oracle import objection
from policy.fuzz_policies import CALLER, POLICIES
from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.errors import PrivysealError
from privyseald.holds.holds import Holds
from privyseald.idempotency.idempotency import Idempotency
from privyseald.key import Algorithm
from privyseald.limits import Limits
from privyseald.nonces import NonceSource
from privyseald.policy.file import parse_policy
from privyseald.policy.policy import Policy
from privyseald.secretstore.cache import CachePolicy, KeyCache
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.embedded import EmbeddedStore
from privyseald.secretstore.store_key import create_key_file
from privyseald.sessions.sessions import Sessions
from privyseald.signing.secret import SecretBytes
from privyseald.state.embedded import EmbeddedState
from privyseald.usecases.open_key import OpenedKey, OpenKey, match_venue
from privyseald.usecases.sign import Sign, SignCommand
from privyseald.venues.http_request import HttpRequest, make_request
from privyseald.venues.registry import Venues
from privyseald.venues.venue import SignedHttpRequest
from service import ASTER, ASTER_AGENT, KIIEX, NEBULAEX, WHITEBIT, SandboxKey

KEYS: dict[str, SandboxKey] = {
    key.venue: key for key in (ASTER, ASTER_AGENT, KIIEX, NEBULAEX, WHITEBIT)
}
_TRADER = Caller(CALLER, "mtls-spiffe")
_NEVER_MS = 10**12


class FuzzDesk:
    """One `Sign` for each policy; each venue has one key, with the venue's name.

    `told` counts what became of the cases: signed, or refused for a reason.
    """

    def __init__(self, folder: Path) -> None:
        self._clock = FakeClock()
        key_file = folder / "store.key"
        create_key_file(key_file)
        self._store = EmbeddedStore.open_path(
            folder / "store.db", key_file=key_file, clock=self._clock
        )
        self._state = EmbeddedState.open_path(folder / "marks")
        self.told: Counter[str] = Counter()
        venues = Venues()
        cache = KeyCache[OpenedKey](
            self._store,
            lambda credential: match_venue(credential, venues),
            self._clock,
            CachePolicy(_NEVER_MS, _NEVER_MS),
        )
        values = sealed(self._state)
        holds = Holds(self._clock)
        holds.confirm(math.inf)
        self._signs = {
            name: Sign(
                Policy(parse_policy(tried.text, f"{name}.yaml", venues), self._clock),
                venues,
                holds,
                OpenKey(cache, self._clock),
                NonceSource(self._state, self._clock),
                Sessions(self._state, values, self._clock),
                Idempotency(values, self._clock),
                Limits(self._state, venues),
            )
            for name, tried in POLICIES.items()
        }

    async def open(self) -> None:
        """Put the keys into the store."""
        for name, key in KEYS.items():
            document = KeyDocument(
                venue=name,
                environment="production",
                algorithm=_algorithm(key),
                fields=key.fields,
                material=SecretBytes(key.material),
            )
            await self._store.create(name, document)

    async def close(self) -> None:
        """Close store and state."""
        await self._state.close()
        await self._store.close()

    async def try_case(self, case: Case) -> str:
        """Return what is wrong with what became of a case; empty where nothing is."""
        signed = await self.sign(case)
        if isinstance(signed, str):
            self.told[signed] += 1
            return ""
        self.told["signed"] += 1
        return objection(case.venue, case.policy, signed)

    async def sign(self, case: Case, *, validate_only: bool = False) -> SignedHttpRequest | str:
        """Return the bytes that were signed, or the reason why none were.

        For `validate_only` the reason is empty where they would have been.
        """
        self._clock.advance(1)
        try:
            intent = intent_of(case)
            command = SignCommand(case.venue, intent, validate_only=validate_only)
            signed = await self._signs[case.policy](_TRADER, command, Entry("rpc"))
        except PrivysealError as error:
            return error.reason
        if validate_only:
            return ""
        assert isinstance(signed.result, SignedHttpRequest)
        return signed.result


def intent_of(case: Case) -> HttpRequest:
    """Return the request as it comes in from the wire. Raises RequestInvalid."""
    return make_request(case.method, case.target, case.query, case.body, case.content_type)


def _algorithm(key: SandboxKey) -> Algorithm:
    if key.algorithm:
        return Algorithm(key.algorithm)
    return Algorithm.HMAC_SHA512 if key.venue == "whitebit" else Algorithm.HMAC_SHA256
