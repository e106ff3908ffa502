"""Documents and messages of a wallet are no way past the rules for requests and logins."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from privyseal.v1 import signing_service_pb2 as pb
from service import (
    ASTER_AGENT,
    ASTER_WALLET,
    OPERATOR,
    POLICY,
    TRADER,
    SandboxKey,
    Service,
    Stubs,
    failure_of,
    import_sandbox_key,
)

_RULE = '  - {{name: more, callers: ["*"], keys: ["desk-*"], {}}}\n'
ZERO = "0x" + "0" * 40
DOMAIN = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
ACTION = {
    "type": ("string", "Withdraw"),
    "destination": ("address", ZERO),
    "destination Chain": ("string", "BSC"),
    "token": ("string", "USDT"),
    "amount": ("string", "1.23"),
    "fee": ("string", "0.01"),
    "nonce": ("uint256", 1761210000000000),
    "aster chain": ("string", "Mainnet"),
}
AGENT = {
    "AgentAddress": ("string", ZERO),
    "CanWithdraw": ("bool", True),
    "AsterChain": ("string", "Mainnet"),
    "User": ("string", ZERO),
    "Nonce": ("uint256", 1),
}
MESSAGE = {"msg": ("string", "amount=3&receiver=0x00&nonce=1&signer=0x00")}
PLAIN = {"text": ("string", "hello")}


def document(
    primary_type: str, fields: Mapping[str, tuple[str, object]], name: str, chain_id: object
) -> dict[str, Any]:
    """A whole EIP-712 document."""
    kinds = [{"name": field, "type": kind} for field, (kind, _) in fields.items()]
    return {
        "types": {"EIP712Domain": DOMAIN, primary_type: kinds},
        "primaryType": primary_type,
        "domain": {"name": name, "version": "1", "chainId": chain_id, "verifyingContract": ZERO},
        "message": {field: value for field, (_, value) in fields.items()},
    }


WITHDRAW = document("Action", ACTION, "Aster", 56)
APPROVE = document("ApproveAgent", AGENT, "AsterSignTransaction", 56)
REGISTER = document("Message", MESSAGE, "AsterSignTransaction", 56)
OTHER = document("Greeting", PLAIN, "A Dapp", 56)


def request_of(wish: dict[str, Any] | bytes) -> pb.SignRequest:
    """Return the request to sign a document or a message with the desk's key."""
    request = pb.SignRequest(key="keys/desk-1")
    if isinstance(wish, bytes):
        request.personal_message.message = wish
    else:
        request.typed_data.json = json.dumps(wish).encode()
    return request


async def with_rule(service: Service, operator: Stubs, **rule: list[str]) -> Stubs:
    """Import the desk's key, and return a trader beside whose rule there is one more."""
    await import_sandbox_key(operator, "desk-1", ASTER_AGENT)
    service.take_policy(POLICY.encode() + _RULE.format(json.dumps(rule)[1:-1]).encode())
    await service.restart()
    return await service.as_caller(TRADER)


@pytest.mark.parametrize("key", [ASTER_AGENT, ASTER_WALLET], ids=["agent", "wallet"])
@pytest.mark.parametrize("chain_id", [1666, "0x682", 714])
async def test_a_request_is_not_signed_as_a_document(
    operator: Stubs, key: SandboxKey, chain_id: object
) -> None:
    """Not even for the operator: rules for requests could not look at it."""
    await import_sandbox_key(operator, "desk-1", key)
    wish = document("Message", MESSAGE, "AsterSignTransaction", chain_id)

    failure = await failure_of(operator.signing.Sign(request_of(wish)))

    assert ("INTENT_UNSUPPORTED", "typed_data.json") == (failure.reason, failure.field_name)
    assert "http_request" in failure.message


@pytest.mark.parametrize("key", [ASTER_AGENT, ASTER_WALLET], ids=["agent", "wallet"])
@pytest.mark.parametrize("message", [b"You are signing into Astherus 501182", b"7" * 32])
async def test_a_login_is_not_signed_as_a_message(
    operator: Stubs, key: SandboxKey, message: bytes
) -> None:
    """Login has rules, holds and an audit line of its own."""
    await import_sandbox_key(operator, "desk-1", key)

    failure = await failure_of(operator.signing.Sign(request_of(message)))

    assert ("INTENT_UNSUPPORTED", "personal_message.message") == (
        failure.reason,
        failure.field_name,
    )


@pytest.mark.parametrize(
    ("allow", "signed"),
    [
        (["sign-typed-data"], [False, False, False, True]),
        (["sign-typed-data", "@withdrawals"], [True, False, False, True]),
        (["sign-typed-data", "@key-management"], [False, True, True, True]),
        (["sign-typed-data", "op:fapi/v3 post approveagent"], [False, True, False, True]),
        (["sign-typed-data", "@transfers", "sign", "sign-unlisted"], [False, False, False, True]),
        (["@withdrawals", "@key-management"], [False, False, False, False]),
    ],
)
async def test_what_a_document_does_must_be_named(
    service: Service, operator: Stubs, allow: list[str], signed: list[bool]
) -> None:
    """The permission for documents is not enough for one that moves funds or makes keys."""
    trader = await with_rule(service, operator, allow=allow)

    for wish, expected in zip((WITHDRAW, APPROVE, REGISTER, OTHER), signed, strict=True):
        if expected:
            answer = await trader.signing.Sign(request_of(wish))
            assert 65 == len(answer.signature.value)
        else:
            failure = await failure_of(trader.signing.Sign(request_of(wish)))
            assert "PERMISSION_DENIED" == failure.code


async def test_a_rule_that_denies_withdrawals_sees_the_document(
    service: Service, operator: Stubs
) -> None:
    """And the error names the operation."""
    await with_rule(service, operator, deny=["@withdrawals"])
    operator = await service.as_caller(OPERATOR)

    failure = await failure_of(operator.signing.Sign(request_of(WITHDRAW)))

    assert "PERMISSION_DENIED" == failure.code
    assert ("more", "fapi/v3 post aster/user-withdraw") == (
        failure.metadata["rule"],
        failure.metadata["operation"],
    )
