import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import FakeClock, FakeState, sealed
from privyseald.audit.entry import Entry
from privyseald.errors import Held, StateUnavailable
from privyseald.holds.hold import Scope, ScopeKind
from privyseald.holds.known_holds import KnownHolds
from privyseald.idempotency.idempotency import Idempotency
from privyseald.limits import Limits
from privyseald.nonces import NonceSource
from privyseald.signing.signer import Credential, Signer
from privyseald.state.embedded import EmbeddedState
from privyseald.usecases.open_key import match_venue
from privyseald.usecases.sign import PersonalMessage, Sign, SignCommand
from privyseald.usecases.signed import Signed
from privyseald.venues.http_request import HttpRequest
from privyseald.venues.registry import Venues
from privyseald.venues.venue import SignedHttpRequest
from rules import allow_all
from usecases.desk import OPERATOR, Desk, document, wallet

ID = "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11"


class CountingSigner:
    """A signer that counts its signatures."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self.algorithm = signer.algorithm
        self.public_id = signer.public_id
        self.public_key_pem = signer.public_key_pem
        self.count = 0

    async def sign(self, message: bytes) -> bytes:
        """Sign."""
        self.count += 1
        return await self._signer.sign(message)


class SigningDesk(Desk):
    """A desk that signs with one WhiteBIT key, and remembers up to 100 kB of answers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.state = EmbeddedState.open_path(folder / "marks")
        self.shared = FakeState(self.clock)
        self.idempotency = Idempotency(sealed(self.shared), self.clock, capacity_bytes=100_000)
        self._sign = Sign(
            allow_all(),
            Venues(),
            self.holds,
            self.open_key,
            NonceSource(self.state, self.clock),
            self.sessions,
            self.idempotency,
            Limits(self.state, self.venues),
        )

        self.cache._prepare = lambda credential: match_venue(self._counted(credential), self.venues)
        self.signers: list[CountingSigner] = []

    def _counted(self, credential: Credential) -> Credential:
        self.signers.append(CountingSigner(credential.signer))
        return replace(credential, signer=self.signers[-1])

    async def sign_message(self, request_id: str) -> Signed:
        """Sign one message with the wallet."""
        command = SignCommand("wallet", PersonalMessage(b"hello"), request_id, b"f")
        return await self._sign(OPERATOR, command, Entry("rpc"))

    async def sign(self, request_id: str = "", body: bytes = b"{}") -> Signed:
        """Sign one request."""
        request = HttpRequest("POST", "/api/v4/orders", body=body, content_type="application/json")
        return await self._sign(
            OPERATOR, SignCommand("desk-1", request, request_id, b"f"), Entry("rpc")
        )


@pytest.fixture
async def desk(tmp_path: Path) -> SigningDesk:
    """A desk with a key."""
    desk = SigningDesk(tmp_path)
    assert isinstance(desk.clock, FakeClock)
    await desk.store.create("desk-1", document())
    return desk


async def test_a_retry_burns_no_nonce(desk: SigningDesk) -> None:
    """Under one id all get the first answer, and the counter moves once."""
    answers = await asyncio.gather(*(desk.sign(ID) for _ in range(50)))
    after = await desk.sign()

    assert 1 == len({id(answer) for answer in answers})
    first = answers[0].nonce
    assert first is not None
    assert first + 1 == after.nonce
    await desk.state.close()


async def test_a_caller_who_goes_away_gets_the_same_answer_later(desk: SigningDesk) -> None:
    """Cancelled under an id, the signing is finished, and the retry gets it."""
    caller = asyncio.ensure_future(desk.sign(ID))
    for _ in range(8):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)

    first = await desk.sign(ID)
    assert first is await desk.sign(ID)
    await desk.state.close()


async def test_without_the_state_nothing_is_signed(desk: SigningDesk) -> None:
    """No nonce, no signature: a state that is away is told, with an id and without."""
    await desk.state.close()

    for request_id in ("", ID):
        with pytest.raises(StateUnavailable):
            await desk.sign(request_id)


async def test_with_the_shared_state_away_only_ids_are_refused(desk: SigningDesk) -> None:
    """Whether an id came before can't be known, so no nonce is spent; without one all is well."""

    async def away(_method: str, _name: str) -> None:
        raise StateUnavailable("away")

    first = await desk.sign()
    desk.shared.before = away
    with pytest.raises(StateUnavailable):
        await desk.sign(ID)
    second = await desk.sign()

    assert first.nonce is not None
    assert first.nonce + 1 == second.nonce
    await desk.state.close()


async def test_large_answers_do_not_fill_the_memory(desk: SigningDesk) -> None:
    """Memory is bounded by bytes: large bodies push out the oldest answers, which the shared
    state has still.
    """
    body = b'{"note":"' + b"x" * 30_000 + b'"}'
    first = await desk.sign(ID)
    assert first is await desk.sign(ID)
    await desk.sign(str(uuid.UUID(int=1)), body)
    second = await desk.sign(str(uuid.UUID(int=2)), body)
    assert second is await desk.sign(str(uuid.UUID(int=2)), body)

    again = await desk.sign(ID)
    assert first is not again
    assert first == again
    assert desk.idempotency._kept._bytes <= 100_000
    await desk.state.close()


@pytest.mark.parametrize("at", ["put", "advance"])
async def test_a_hold_comes_before_the_signature_is_made(desk: SigningDesk, at: str) -> None:
    """While the request's id is claimed, or its nonce is taken: the secret is not used."""
    desk._sign._nonces = NonceSource(desk.shared, desk.clock)
    desk.stop(Scope(ScopeKind.VENUE, "whitebit"), at)
    with pytest.raises(Held):
        await desk.sign(ID)
    assert [0] == [signer.count for signer in desk.signers]

    desk.shared.before = nothing
    desk.holds.take(KnownHolds())
    await desk.sign(ID)
    assert [1] == [signer.count for signer in desk.signers]


async def test_a_hold_comes_before_a_message_is_signed(desk: SigningDesk) -> None:
    """A message has no nonce, and waits for its id alone."""
    await desk.store.create("wallet", wallet())
    desk.stop(Scope(ScopeKind.ALL), "put")
    with pytest.raises(Held):
        await desk.sign_message(ID)
    assert [0] == [signer.count for signer in desk.signers]


async def nothing(_method: str, _name: str) -> None:
    """Let the state do as it is asked."""


class SlowSigner:
    """A signer that takes its time: Vault that is slow, or a process that stands still."""

    def __init__(self, signer: Signer, clock: FakeClock, pauses_ms: list[int]) -> None:
        self._signer = signer
        self._clock = clock
        self._pauses_ms = pauses_ms
        self.algorithm = signer.algorithm
        self.public_id = signer.public_id
        self.public_key_pem = signer.public_key_pem

    async def sign(self, message: bytes) -> bytes:
        """Let time pass, then sign."""
        if self._pauses_ms:
            self._clock.advance(self._pauses_ms.pop(0))
        return await self._signer.sign(message)


def slow_down(desk: SigningDesk, monkeypatch: pytest.MonkeyPatch, *pauses_ms: int) -> None:
    """Let the desk's next signatures take so long, one after the other."""
    quick = desk.store.open

    async def open_slowly(key_id: str) -> Credential:
        found = await quick(key_id)
        return replace(found, signer=SlowSigner(found.signer, desk.clock, list(pauses_ms)))

    monkeypatch.setattr(desk.store, "open", open_slowly)


async def test_a_request_whose_nonce_grew_old_is_signed_again(
    desk: SigningDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes out has a young nonce, in body and answer alike; a retry gets the same."""
    slow_down(desk, monkeypatch, 3_000, 1_001)
    began_ms = desk.clock.time_us() // 1_000

    signed = await desk.sign(ID)

    assert began_ms + 3_000 + 1_001 == signed.nonce == signed.sign_time_ms
    assert isinstance(signed.result, SignedHttpRequest)
    assert f'"nonce":{signed.nonce},'.encode() in signed.result.body
    assert signed is await desk.sign(ID)
    await desk.state.close()


async def test_where_every_nonce_grows_old_none_goes_out(
    desk: SigningDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three are enough; the id stays free, and the retry works once all is quick again."""
    slow_down(desk, monkeypatch, 1_001, 1_001, 1_001)

    with pytest.raises(StateUnavailable) as caught:
        await desk.sign(ID)

    assert 1_000 == caught.value.retry_after_ms
    assert "too slow" in caught.value.message
    assert desk.clock.time_us() // 1_000 == (await desk.sign(ID)).nonce
    await desk.state.close()
