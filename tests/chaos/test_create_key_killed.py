"""kill -9 between every two steps of CreateKey, on both stores."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bao import MOUNT, BaoServer
from chaos.mortal_service import Site, alive, lay_out, new_request_id
from privyseal.v1 import key_service_pb2
from privyseald.sandbox.sandbox import Sandbox
from privyseald.usecases.create_key_saga import Step
from secret_store_home import store_policy
from service import eventually

STEPS = list(Step)
_CUT_OFF = ("UNAVAILABLE", "CANCELLED", "UNKNOWN")


@pytest.fixture(params=["embedded", "vault"])
async def site(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> AsyncIterator[Site]:
    """A server's files, over each kind of store, and a venue that verifies."""
    vault = ""
    if request.param == "vault":
        bao: BaoServer = request.getfixturevalue("bao")
        (tmp_path / "token").write_text(bao.token(store_policy(prefix)))
        (tmp_path / "token").chmod(0o600)
        vault = (
            f'[store]\nurl = "vault://{MOUNT}/{prefix}"\n\n[vault]\naddress = "{bao.url}"\n'
            f'auth = "token-file"\ntoken_file = "{tmp_path / "token"}"\n\n'
        )
    async with Sandbox() as sandbox:
        yield lay_out(tmp_path / "server", sandbox, vault)


async def killed_after(site: Site, step: Step, request_id: str) -> None:
    """Order a key from a server that dies once the step is done."""
    async with alive(site, step.value) as server:
        await server.import_wallet()
        failure = await server.refusal(request_id)
        assert (failure.code in _CUT_OFF, await server.death()) == (True, -9)


@pytest.mark.parametrize("step", STEPS)
async def test_nothing_is_lost_or_done_twice(site: Site, step: Step) -> None:
    """Killed after any step, then started again: every secret that had been sealed is in the
    store, once, and signs; what had not been is told as unknown; the venue was asked once.
    """
    request_id = new_request_id()
    await killed_after(site, step, request_id)
    is_asked = STEPS.index(step) >= STEPS.index(Step.ANSWERED)
    is_kept = STEPS.index(step) >= STEPS.index(Step.SEALED)
    issued = site.issued("desk one")
    assert (int(is_asked), int(is_asked)) == (len(issued), site.orders())
    assert not any(site.shows(key.api_secret) for key in issued)

    async with alive(site) as server:
        if is_kept:

            async def is_whole() -> bool:
                return await server.state() == "ENABLED"

            await eventually(is_whole)
            key = await server.create(request_id)
            assert (issued[0].api_key, "keys/new") == (key.public_id, key.name)
            assert await server.signs_as(issued[0])
            assert [] == list(site.escrow.glob("*.record"))
        elif step is Step.PLACED:
            assert "gone" == await server.state()
            assert (await server.create(request_id)).name == "keys/new"
            assert await server.signs_as(site.issued("desk one")[0])
        else:
            for _ in range(2):
                failure = await server.refusal(request_id)
                assert ("VENUE_OUTCOME_UNKNOWN", "desk one") == (
                    failure.reason,
                    failure.metadata["description"],
                )
            assert "KEY_EXISTS" == (await server.refusal(new_request_id())).reason
            assert "CREATING" == await server.state()
    asked = is_asked or step is Step.PLACED
    assert (int(asked), int(asked)) == (site.orders(), len(site.issued("desk one")))
    assert [] == list(site.escrow.glob("*.place"))


async def test_reconcile_by_hand_moves_a_sealed_key(site: Site) -> None:
    """Without a server, `privyseal keys reconcile` moves the key into the store, once."""
    request_id = new_request_id()
    await killed_after(site, Step.SEALED, request_id)

    found = await site.reconcile()
    again = await site.reconcile()

    assert ((0, [("moved", "new")]), (0, [])) == (outcomes(found), outcomes(again))
    async with alive(site) as server:
        assert await server.signs_as(site.issued("desk one")[0])
    assert 1 == site.orders()


async def test_the_one_window_is_between_the_answer_and_the_seal(site: Site) -> None:
    """A key that was in memory alone is in no file; the advice names what to remove where, as
    often as it is asked for, and the end of it once that is done.
    """
    await killed_after(site, Step.ANSWERED, new_request_id())
    (lost,) = site.issued("desk one")
    for _ in range(2):
        exit_code, findings = await site.reconcile()
        assert (1, "unknown", "new") == (
            exit_code,
            findings[0]["outcome"],
            findings[0]["key_id"],
        )
        assert findings[0]["advice"] == (
            "look at aster (production) for a key named 'desk one', on the account of "
            "keys/wallet, and remove it there; then 'privyseal keys delete new' and begin anew"
        )

    assert not site.shows(lost.api_secret)
    async with alive(site) as server:
        await server.keys.DeleteKey(key_service_pb2.DeleteKeyRequest(name="keys/new"))
    assert (0, []) == await site.reconcile()


def outcomes(answer: tuple[int, list[dict[str, Any]]]) -> tuple[int, list[tuple[str, str]]]:
    """Return the exit code, and what became of which key."""
    exit_code, findings = answer
    return exit_code, [(finding["outcome"], finding["key_id"]) for finding in findings]
