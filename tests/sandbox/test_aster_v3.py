from collections.abc import Mapping

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from privyseald.sandbox.accounts import AsterAccount
from sandbox.caller import START_MS, Caller, Reply

ANVIL_0 = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
ANVIL_0_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
USER = "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"
AGENT = "0x21cF8Ae13Bb72632562c6Fff438652Ba1a151bb0"
AGENT_KEY = "0x4fd0a42218f3eae43a6ce26d22544e986139a01e5b34a62db53757ffca81bae1"
STRANGER_KEY = "0x" + "11" * 32
STRANGER = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
NOW = START_MS * 1_000
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CHAIN_56 = 56


def sign_typed(
    key: str, chain_id: int, primary_type: str, members: list[dict[str, str]], message: object
) -> str:
    """Return a signature in Aster's domain, as eth_account makes it."""
    domain_type = [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ]
    signable = encode_typed_data(
        full_message={
            "types": {"EIP712Domain": domain_type, primary_type: members},
            "primaryType": primary_type,
            "domain": {
                "name": "AsterSignTransaction",
                "version": "1",
                "chainId": chain_id,
                "verifyingContract": "0x0000000000000000000000000000000000000000",
            },
            "message": message,
        }
    )
    return "0x" + bytes(Account.sign_message(signable, key).signature).hex()


def signed(text: str, key: str = AGENT_KEY, chain_id: int = 1666) -> str:
    """Return the parameters with their signature at the end."""
    members = [{"name": "msg", "type": "string"}]
    return f"{text}&signature={sign_typed(key, chain_id, 'Message', members, {'msg': text})}"


def params(nonce: int = NOW, signer: str = AGENT, **others: str) -> str:
    """Return parameters as a text: others, nonce, signer."""
    fields = {**others, "nonce": str(nonce), "signer": signer}
    return "&".join(f"{name}={value}" for name, value in fields.items())


async def get(caller: Caller, query: str, path: str = "/fapi/v3/balance") -> Reply:
    """Send a query that is signed already."""
    return await caller.send("aster", "GET", f"{path}?{query}")


def code(reply: Reply) -> tuple[int, object]:
    """Return status and code."""
    assert isinstance(reply.json, Mapping)
    return reply.status, reply.json.get("code")


async def test_ccxt_vector_is_accepted(caller: Caller) -> None:
    """What ccxt sends, its last byte in upper-case hex and the wallet its own signer, is good."""
    wallet = ANVIL_0.lower()
    query = (
        f"nonce=1700000000000000&user={wallet}&signer={wallet}&signature="
        "0x8cc5871e0d1214dd9114103c976bc4fb2cac0bd90e3aef6e9c12b07d17965353"
        "09aad0bafc3e36dd2dcbbdb6f5936cd883eb6915763f7589f326cfd8f2a40bfa1B"
    )
    assert (await get(caller, query)).status == 200


@pytest.mark.parametrize(
    ("text", "chain_id", "signature"),
    [
        (
            (
                "symbol=ASTERUSDT&type=LIMIT&side=BUY&timeInForce=GTC&quantity=20&price=0.5"
                f"&nonce=1748310859508867&signer={AGENT}"
            ),
            1666,
            (
                "0xd82a6784f5eff00b95ecb88145cf7a5fa6803ea6f67e0217262073da628750a7"
                "42bb3ba555af418320e55029afe358957808d4f810d73ea663d9c91852cd6d941c"
            ),
        ),
        (
            (
                "symbol=ASTERUSDT&type=LIMIT&side=BUY&timeInForce=GTC&quantity=20&price=0.5"
                f"&nonce=1748310859508867&user={USER}&signer={AGENT}"
            ),
            714,
            (
                "0xf91e000376f360c1661cf0fbc79a816e915dce485c616bd49c5e35c6cbc5ba50"
                "42ccf75a2bffd282676dbf698087a73982bfd1491a993eeedc276f6827c94a8c1c"
            ),
        ),
        (
            (
                "symbol=BTCUSDT&origClientOrderIdList=%5B%22123aaaa%22%2C%22111ccc%22%2C%22321313%22"
                f"%5D&nonce=1748310859508867&signer={AGENT}"
            ),
            1666,
            (
                "0x3dc1722cdb4318214bc205ee94ed60f416829b4f50408ab4e5d0f19824da06a4"
                "5d6fba76f5f5e78508160ebe04d44b476a24d9f1ec07f79268c2f134707aa4de1c"
            ),
        ),
    ],
)
async def test_documents_samples_are_accepted_in_query_and_body(
    caller: Caller, text: str, chain_id: int, signature: str
) -> None:
    """The documents' samples, without and with user, encoded as sent, on both networks."""
    caller.clock.time_ms = 1_748_310_859_508
    caller.sandbox.knobs.aster.chain_id = chain_id
    sent = f"{text}&signature={signature}"
    body = await caller.send("aster", "POST", "/fapi/v3/order", FORM, sent)
    query = await caller.send("aster", "POST", f"/fapi/v3/order?{sent}")
    (seen, repeated) = caller.sandbox.requests("aster")
    assert body.status == 200
    assert (seen.account, seen.nonce) == (USER, "1748310859508867")
    assert "signature" not in seen.parameters
    assert query.json == {"code": -4225, "msg": "Nonce Duplicated"}
    assert repeated.refusal == "-4225 Nonce Duplicated"


@pytest.mark.parametrize(
    "query",
    [
        signed(params(), chain_id=714),
        signed(params(), key=STRANGER_KEY),
        signed(params()).replace(AGENT, ANVIL_0),
        signed(params(a="1")).replace("a=1", "a=2"),
        signed(params(a="%20")).replace("%20", "+"),
        signed(params()) + "&a=1",
        signed(params())[:-2] + "00",
        signed(params())[:-2],
        signed(params()).replace("signature=0x", "signature="),
        params() + "&signature=0x" + "00" * 64 + "1b",
        params() + "&signature=0x" + "ff" * 64 + "1b",
    ],
)
async def test_what_the_signer_did_not_sign_is_1022(caller: Caller, query: str) -> None:
    """Another chain, key, signer, value, encoding or place, and broken hex, are all refused."""
    assert code(await get(caller, query)) == (400, -1022)


@pytest.mark.parametrize("knob", [True, False])
async def test_signing_before_encoding_is_a_knob(caller: Caller, knob: bool) -> None:
    """The demo signs the text before it is encoded: refused, unless the knob allows it."""
    caller.sandbox.knobs.aster.decoded_message = knob
    decoded = signed(params(batchOrders='[{"symbol":"BTCUSDT"}]'))
    encoded = decoded.replace('[{"symbol":"BTCUSDT"}]', "%5B%7B%22symbol%22%3A%22BTCUSDT%22%7D%5D")
    reply = await get(caller, encoded)
    as_sent = await get(caller, signed(params(NOW + 1, batchOrders="%5B%5D")))
    assert reply.status == (200 if knob else 400)
    assert as_sent.status == 200


@pytest.mark.parametrize("name", ["nonce", "signer", "signature"])
async def test_mandatory_parameters_are_named(caller: Caller, name: str) -> None:
    """Nonce, signer and signature are each missed by name."""
    kept = [part for part in signed(params()).split("&") if not part.startswith(name)]
    reply = await get(caller, "&".join(kept))
    assert code(reply) == (400, -1102)
    assert f"'{name}'" in reply.text("msg")


async def test_user_is_mandatory_by_knob(caller: Caller) -> None:
    """The newest documents leave `user` out; the knob asks for it as the older ones."""
    caller.sandbox.knobs.aster.user_required = True
    without = await get(caller, signed(params()))
    with_user = await get(caller, signed(params(user=USER.lower())))
    assert "'user'" in without.text("msg")
    assert with_user.status == 200


async def test_agent_must_be_approved(caller: Caller) -> None:
    """A right signature of a signer whom nobody approved is refused, until somebody does."""
    query = signed(params(signer=STRANGER), key=STRANGER_KEY)
    refused = await get(caller, query)
    caller.sandbox.accounts.add(AsterAccount(ANVIL_0, agents=(STRANGER.lower(),)))
    accepted = await get(caller, query)
    assert code(refused) == (401, -2015)
    assert accepted.status == 200


async def test_agent_acts_for_its_own_user_alone(caller: Caller) -> None:
    """An agent that names another account's wallet as user is refused."""
    reply = await get(caller, signed(params(user=ANVIL_0)))
    assert code(reply) == (401, -2015)


@pytest.mark.parametrize(
    ("offset_us", "expected"),
    [
        (-60_000_000, (200, None)),
        (-60_000_001, (400, -4225)),
        (60_000_000, (200, None)),
        (60_000_001, (400, -1021)),
        (-NOW + START_MS, (400, -4225)),
    ],
)
async def test_nonce_is_within_sixty_seconds(
    caller: Caller, offset_us: int, expected: tuple[int, object]
) -> None:
    """A nonce is a time in µs at most 60 s off; one in ms is long expired."""
    reply = await get(caller, signed(params(NOW + offset_us)), "/fapi/v3/account")
    assert code(reply) == expected


async def test_nonce_window_is_a_knob(caller: Caller) -> None:
    """With the documents' older ten seconds a nonce eleven seconds old is expired."""
    caller.sandbox.knobs.aster.nonce_window_ms = 10_000
    reply = await get(caller, signed(params(NOW - 11_000_000)))
    assert reply.json == {"code": -4225, "msg": "Nonce Expired"}


async def test_nonce_ahead_is_a_knob(caller: Caller) -> None:
    """With the knob a nonce more than 1000 ms ahead is refused as Binance's family does."""
    caller.sandbox.knobs.aster.ahead_ms = 1_000
    at = await get(caller, signed(params(NOW + 1_000_000)))
    beyond = await get(caller, signed(params(NOW + 1_000_001)))
    assert at.status == 200
    assert code(beyond) == (400, -1021)


async def test_nonces_may_come_in_any_order_once(caller: Caller) -> None:
    """A smaller nonce is good while there is room, the same one never."""
    later = await get(caller, signed(params(NOW + 5)))
    earlier = await get(caller, signed(params(NOW + 4)))
    again = await get(caller, signed(params(NOW + 5)))
    assert (later.status, earlier.status) == (200, 200)
    assert again.json == {"code": -4225, "msg": "Nonce Duplicated"}


async def test_nonce_below_a_full_list_is_expired(caller: Caller) -> None:
    """Where as many nonces are kept as there is room for, one smaller than all is expired."""
    caller.sandbox.knobs.aster.nonces_kept = 3
    for nonce in (NOW + 10, NOW + 20, NOW + 30, NOW + 40):
        assert (await get(caller, signed(params(nonce)))).status == 200
    below = await get(caller, signed(params(NOW + 15)))
    dropped = await get(caller, signed(params(NOW + 10)))
    between = await get(caller, signed(params(NOW + 25)))
    assert below.json == dropped.json == {"code": -4225, "msg": "Nonce Expired"}
    assert between.status == 200


async def test_hundred_nonces_are_kept(caller: Caller) -> None:
    """The hundredth still leaves room for one in between; after it the lowest is the bar."""
    for number in range(1, 101):
        await get(caller, signed(params(NOW + 2 * number)))
    assert code(await get(caller, signed(params(NOW + 1)))) == (400, -4225)
    assert (await get(caller, signed(params(NOW + 3)))).status == 200


async def test_nonces_are_counted_by_signer(caller: Caller) -> None:
    """Two signers may use the same nonce; the case of the address makes no second signer."""
    agent = await get(caller, signed(params()))
    wallet = await get(caller, signed(params(signer=ANVIL_0), key=ANVIL_0_KEY))
    again = await get(caller, signed(params(signer=AGENT.lower())))
    assert (agent.status, wallet.status) == (200, 200)
    assert code(again) == (400, -4225)


async def test_refused_signature_spends_no_nonce(caller: Caller) -> None:
    """A stranger can't use up a signer's nonce."""
    await get(caller, signed(params(), key=STRANGER_KEY))
    assert (await get(caller, signed(params()))).status == 200


async def test_nonce_must_be_digits(caller: Caller) -> None:
    """A nonce with other characters is illegal."""
    text = f"nonce=17e14&signer={AGENT}"
    assert code(await get(caller, signed(text))) == (400, -1100)


AGENT_PARAMETERS = {
    "agentName": "2dkkd0001",
    "agentAddress": AGENT,
    "ipWhitelist": "127.0.0.9",
    "expired": "1867945395040",
    "canSpotTrade": "true",
    "canPerpTrade": "false",
    "canWithdraw": "false",
    "asterChain": "Mainnet",
    "user": ANVIL_0,
    "nonce": "1748310859508867",
}
KINDS = {"expired": "uint256", "nonce": "uint256"}


def managed(parameters: Mapping[str, str], primary_type: str, key: str = ANVIL_0_KEY) -> str:
    """Return a request of the main wallet, signed by the rule of demo/aster-code.py."""
    members: list[dict[str, str]] = []
    message: dict[str, object] = {}
    for name, text in parameters.items():
        kind = KINDS.get(name, "bool" if name.startswith("can") else "string")
        field = name[0].upper() + name[1:]
        members.append({"name": field, "type": kind})
        values: dict[str, object] = {"bool": text == "true", "string": text}
        message[field] = int(text) if kind == "uint256" else values[kind]
    signature = sign_typed(key, CHAIN_56, primary_type, members, message)
    sent = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"{sent}&signature={signature}&signatureChainId=56"


async def test_main_wallet_approves_an_agent(caller: Caller) -> None:
    """The published algorithm's vector approves the agent, whose requests then count as its."""
    caller.clock.time_ms = 1_748_310_859_508
    caller.sandbox.accounts.add(AsterAccount(USER))
    sent = managed(AGENT_PARAMETERS, "ApproveAgent")
    assert (
        "0x57672cf8930d4121f98b49158e67497ef50f7567b70ca86bbb2232c3a7afda01"
        "79c1c88e5740ec13fcc23f499c836098a02f6dd8a1af0089a5da40777b98bade1b"
    ) in sent
    before = await get(caller, signed(params(1_748_310_859_508_000)))
    approved = await caller.send("aster", "POST", "/fapi/v3/approveAgent", FORM, sent)
    after = await get(caller, signed(params(1_748_310_859_508_000)))
    repeated = await caller.send("aster", "POST", "/fapi/v3/approveAgent", FORM, sent)
    assert code(before) == (401, -2015)
    assert (approved.status, after.status) == (200, 200)
    assert caller.sandbox.accounts.aster[ANVIL_0.lower()].agents == (AGENT,)
    assert code(repeated) == (400, -4225)


async def test_main_wallet_deletes_an_agent(caller: Caller) -> None:
    """A deleted agent signs no more."""
    caller.sandbox.accounts.add(AsterAccount(ANVIL_0, agents=(STRANGER,)))
    fields = {
        "agentAddress": STRANGER.lower(),
        "asterChain": "Mainnet",
        "user": ANVIL_0,
        "nonce": str(NOW),
    }
    sent = managed(fields, "DelAgent")
    deleted = await caller.send("aster", "DELETE", "/fapi/v3/agent", FORM, sent)
    query = signed(params(signer=STRANGER), key=STRANGER_KEY)
    assert deleted.status == 200
    assert code(await get(caller, query)) == (401, -2015)


@pytest.mark.parametrize(
    ("change", "key", "primary_type", "expected"),
    [
        ({}, STRANGER_KEY, "ApproveAgent", (400, -1022)),
        ({}, ANVIL_0_KEY, "DelAgent", (400, -1022)),
        (
            {"user": Account.from_key(STRANGER_KEY).address},
            STRANGER_KEY,
            "ApproveAgent",
            (401, -2015),
        ),
        ({"asterChain": "Testnet"}, ANVIL_0_KEY, "ApproveAgent", (400, -1100)),
        ({"agentAddress": ""}, ANVIL_0_KEY, "ApproveAgent", (400, -1102)),
    ],
)
async def test_wrong_approval_is_refused(
    caller: Caller,
    change: dict[str, str],
    key: str,
    primary_type: str,
    expected: tuple[int, object],
) -> None:
    """Another wallet, another action, no account, another chain, and no agent, are refused."""
    fields = AGENT_PARAMETERS | {"nonce": str(NOW)} | change
    sent = managed(fields, primary_type, key)
    reply = await caller.send("aster", "POST", "/fapi/v3/approveAgent", FORM, sent)
    assert code(reply) == expected


async def test_approval_is_on_chain_56(caller: Caller) -> None:
    """Another signatureChainId is refused."""
    sent = managed(AGENT_PARAMETERS, "ApproveAgent").replace("ChainId=56", "ChainId=1666")
    reply = await caller.send("aster", "POST", "/fapi/v3/approveAgent", FORM, sent)
    assert code(reply) == (400, -1100)


async def test_testnet_names_its_chain(caller: Caller) -> None:
    """With the testnet's chain the main wallet must say Testnet."""
    caller.sandbox.knobs.aster.chain_id = 714
    fields = AGENT_PARAMETERS | {"nonce": str(NOW), "asterChain": "Testnet"}
    sent = managed(fields, "UpdateAgent")
    reply = await caller.send("aster", "POST", "/fapi/v3/updateAgent", FORM, sent)
    assert reply.status == 200
