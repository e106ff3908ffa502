"""A right that was taken away: what was signed before, or is on its way, is not handed out."""

import asyncio
from pathlib import Path

import pytest

from fakes import FakeClock
from privyseald.audit.entry import Entry
from privyseald.errors import KeyDisabled, KeyUnknown, PolicyDenied
from privyseald.key import KeyState
from privyseald.limits import Limits
from privyseald.nonces import NonceSource
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.policy.rule import Effect, Rule
from privyseald.state.embedded import EmbeddedState
from privyseald.usecases.sign import Sign, SignCommand
from privyseald.usecases.signed import Signed
from privyseald.venues.http_request import JSON, HttpRequest
from rules import rule
from usecases.desk import OPERATOR, Desk, document

ID = "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11"
ALLOWED = rule("may", ("*",), ("*",), (Action.SIGN,))
DENIED = rule("may-not", ("*",), ("*",), ("tag:read",), Effect.DENY)


class RuledDesk(Desk):
    """A desk with one WhiteBIT key, whose rules change."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        assert isinstance(self.clock, FakeClock)
        self.policy = Policy((ALLOWED,), self.clock)
        self.state = EmbeddedState.open_path(folder / "marks")
        self._sign = Sign(
            self.policy,
            self.venues,
            self.holds,
            self.open_key,
            NonceSource(self.state, self.clock),
            self.sessions,
            self.idempotency,
            Limits(self.state, self.venues),
        )

    async def sign(self, request_id: str = "", entry: Entry | None = None) -> Signed:
        """Sign one request that reads orders."""
        request = HttpRequest("POST", "/api/v4/orders", body=b"{}", content_type=JSON)
        command = SignCommand("desk-1", request, request_id, b"f")
        return await self._sign(OPERATOR, command, entry or Entry("rpc"))


@pytest.fixture
async def desk(tmp_path: Path) -> RuledDesk:
    """A desk with a key."""
    desk = RuledDesk(tmp_path)
    await desk.store.create("desk-1", document())
    return desk


@pytest.mark.parametrize("rules", [(), (ALLOWED, DENIED)], ids=["no rule", "a deny rule"])
async def test_a_first_answer_is_not_repeated_to_who_lost_the_right(
    desk: RuledDesk, rules: tuple[Rule, ...]
) -> None:
    """Nor is it lost to who gets the right back."""
    first = await desk.sign(ID)
    desk.policy.replace(rules)
    with pytest.raises(PolicyDenied):
        await desk.sign(ID)

    desk.policy.replace((ALLOWED,))
    assert first is await desk.sign(ID)
    await desk.state.close()


@pytest.mark.parametrize("request_id", ["", ID], ids=["alone", "under an id"])
async def test_rules_that_change_while_it_is_signed_count(desk: RuledDesk, request_id: str) -> None:
    """Also for all who wait for the same answer; the line says which rule denies."""

    async def replace(_method: str, _name: str) -> None:
        desk.policy.replace((ALLOWED, DENIED))

    desk._sign._nonces = NonceSource(desk.shared, desk.clock)
    desk.shared.before = replace
    entries = [Entry("rpc") for _ in range(3)]
    signing = [desk.sign(request_id, entry) for entry in entries]
    answers = await asyncio.gather(*signing, return_exceptions=True)

    assert all(isinstance(answer, PolicyDenied) for answer in answers), answers
    assert ["may-not"] * 3 == [entry.rule for entry in entries]
    assert ["", "", ""] == [entry.nonce for entry in entries]


async def test_rules_that_change_and_still_allow_change_nothing(desk: RuledDesk) -> None:
    """What was signed goes out, under the rule that stands now."""

    async def replace(_method: str, _name: str) -> None:
        desk.policy.replace((rule("now", ("*",), ("*",), ("tag:read",)),))

    desk._sign._nonces = NonceSource(desk.shared, desk.clock)
    desk.shared.before = replace
    entry = Entry("rpc")

    assert (await desk.sign("", entry)).nonce is not None
    assert "now" == entry.rule


async def test_who_is_let_in_by_a_shadow_hears_nothing_of_the_key(desk: RuledDesk) -> None:
    """Neither that it is there, nor that it is disabled; a rule in force tells."""
    shadow = rule("shadow", ("*",), ("*",), (Action.SIGN,), shadow=True)
    desk.policy.replace((shadow,))
    entry = Entry("rpc")
    with pytest.raises(PolicyDenied):
        await desk.sign("", entry)
    assert "shadow" == entry.shadow
    await desk.store.set_state("desk-1", KeyState.DISABLED)
    desk.cache.forget("desk-1")
    with pytest.raises(PolicyDenied):
        await desk.sign()
    desk.policy.replace((ALLOWED, shadow))
    with pytest.raises(KeyDisabled):
        await desk.sign()
    await desk.store.delete("desk-1")
    desk.cache.forget("desk-1")
    with pytest.raises(KeyUnknown):
        await desk.sign()
    desk.policy.replace((shadow,))
    with pytest.raises(PolicyDenied):
        await desk.sign()
