"""Callers by keys by RPCs, on a real server: what is not granted is denied, everywhere."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from privyseal.v1 import hold_service_pb2, key_service_pb2
from privyseald.policy.action import Action
from rpc.matrix import FREE, KEYS, Try, for_no_key, methods, others, outcome, requests
from service import OPERATOR, POLICY, Service, Stubs, failure_of, import_sandbox_key

_TAGS = ("read", "trade", "cancel", "withdrawal", "transfer", "key-management")
# What one caller each is granted, and nothing else, on the keys `own-*`.
GRANTS = ("", *(each.value for each in Action), "sign-unlisted", *(f"tag:{tag}" for tag in _TAGS))


def caller_of(grant: str) -> str:
    """Return the caller who has this grant alone."""
    return f"spiffe://matrix.test/{grant.replace(':', '/') or 'nothing'}"


def _rules() -> str:
    rules = POLICY
    for number, grant in enumerate(GRANTS):
        if grant:
            rules += (
                f'  - {{name: r{number}, callers: ["{caller_of(grant)}"], keys: ["own-*"], '
                f'allow: ["{grant}"], accept_bearer: true}}\n'
            )
    return rules


@pytest.fixture
async def matrix(tmp_path: Path) -> AsyncIterator[Service]:
    """A server with keys of both owners, and a rule for each grant."""
    service = Service(tmp_path)
    service.take_policy(_rules().encode())
    async with service:
        operator = await service.as_caller(OPERATOR)
        for owner in ("own", "other"):
            for kind, key in KEYS.items():
                await import_sandbox_key(operator, f"{owner}-{kind}", key)
                await import_sandbox_key(operator, f"{owner}-spare-{kind}", key)
        yield service


def _tries(owner: str) -> list[Try]:
    return [
        each for kind in KEYS for make in (requests, others) for each in make(owner, kind)
    ] + list(for_no_key())


def test_every_rpc_of_the_contract_is_tried() -> None:
    """A new one must find its place here, and say what it takes."""
    tried = _tries("own")

    assert methods() == {each.rpc for each in tried}
    assert {each.rpc for each in tried if not each.needs} == FREE
    assert set(GRANTS) >= {grant for each in tried for grant in each.needs} - {"nobody has this"}


@pytest.mark.timeout(300)
async def test_what_is_granted_works_and_all_else_is_denied(matrix: Service) -> None:
    """Each caller, each key, each RPC: exactly the caller's grant on exactly its keys."""
    operator = await matrix.as_caller(OPERATOR)
    wrong: list[str] = []
    worked: set[tuple[str, str]] = set()
    before = len(matrix.audit_lines())
    expected_lines = 0
    for grant in GRANTS:
        stubs = await matrix.as_caller(caller_of(grant))
        for owner in ("own", "other"):
            for each in _tries(owner):
                code = await each.call(stubs)
                expected_lines += 2 if each.rpc == "BatchSign" else 1
                # Holds are listed for all keys at once.
                is_own = owner == "own" or each.rpc == "ListHolds"
                granted = not each.needs or (grant in each.needs and is_own)
                if granted == (code == "PERMISSION_DENIED"):
                    wrong.append(f"{grant or 'nothing'}: {owner} {each.rpc} {each.about}: {code}")
                elif granted and each.needs and code == "OK":
                    worked.add((grant, each.rpc))
        await _tidy(operator)
    lines = matrix.audit_lines()[before:]

    assert not wrong, wrong
    # Each grant is good for something, so that none is denied for another reason.
    assert set(GRANTS) - {"", "use-for-create-key", "delete-hold"} == {grant for grant, _ in worked}
    assert {rpc for _, rpc in worked} == methods() - FREE - {"DeleteHold"}
    _check_audit(lines)
    assert len(_of_callers(lines)) >= expected_lines


async def _tidy(operator: Stubs) -> None:
    """Put back what a caller could change: spare keys, and holds."""
    for hold in (await operator.holds.ListHolds(hold_service_pb2.ListHoldsRequest())).holds:
        await operator.holds.DeleteHold(hold_service_pb2.DeleteHoldRequest(name=hold.name))
    for kind, key in KEYS.items():
        name = f"own-spare-{kind}"
        enable = key_service_pb2.EnableKeyRequest(name=f"keys/{name}")
        if await outcome(operator.keys.EnableKey(enable)) != "OK":
            await import_sandbox_key(operator, name, key)


def _of_callers(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if str(line.get("caller", "")).startswith("spiffe://matrix")]


def _check_audit(lines: list[dict[str, Any]]) -> None:
    """Each RPC left a line that says by which rule it was allowed, or why it was refused."""
    free = {f"/{rpc}" for rpc in FREE} | {"/BatchSign", "/ListHolds"}
    for line in _of_callers(lines):
        if line["decision"] == "allowed":
            assert line.get("rule") or line["rpc"].endswith(tuple(free)), line
        elif line["decision"] == "refused":
            assert line["reason"], line
            if line["code"] == "PERMISSION_DENIED":
                assert "POLICY_DENIED" == line["reason"], line
                assert not line.get("nonce"), line


@pytest.mark.parametrize(
    "name",
    [
        "privyseal.v1.SigningService/Export",
        "privyseal.v1.SigningService/sign",
        "privyseal.v1.KeyService/GetSecret",
        "privyseal.v1.KeyService/Sign",
        "privyseal.v1.SecretService/GetSecret",
        "privyseal.v2.SigningService/Sign",
        "SigningService/Sign",
        "/",
        "",
    ],
)
async def test_what_is_not_in_the_contract_is_not_there(service: Service, name: str) -> None:
    """Nor for the caller who may do everything."""
    stubs = await service.as_caller(OPERATOR)
    call: Any = stubs.channel.unary_unary(f"/{name}")

    assert "UNIMPLEMENTED" == (await failure_of(call(b""))).code


async def test_nobody_learns_which_keys_there_are(matrix: Service) -> None:
    """A key that is there and one that is not are denied in the same words."""
    stubs = await matrix.as_caller(caller_of(""))
    told = set()
    for name in ("other-whitebit", "other-nothing"):
        request = key_service_pb2.GetKeyRequest(name=f"keys/{name}")
        failure = await failure_of(stubs.keys.GetKey(request))
        told.add((failure.code, failure.message.replace(name, "KEY")))

    assert 1 == len(told)


async def test_a_list_of_keys_is_of_those_that_may_be_read(matrix: Service) -> None:
    """All of one's own, and none for who may read none."""
    for grant in ("read-key", "sign", ""):
        stubs = await matrix.as_caller(caller_of(grant))
        found = (await stubs.keys.ListKeys(key_service_pb2.ListKeysRequest())).keys

        own = {f"keys/own-{spare}{kind}" for kind in KEYS for spare in ("", "spare-")}
        assert (own if grant == "read-key" else set()) == {key.name for key in found}
