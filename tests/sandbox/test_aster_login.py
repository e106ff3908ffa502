import hmac
import json

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from privyseald.sandbox.accounts import AsterAccount
from sandbox.caller import START_MS, Caller, Reply

ANVIL_0 = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
ANVIL_0_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
STRANGER_KEY = "0x" + "11" * 32
STRANGER = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
SIGNATURE_OF_501182 = (
    "0x58c8e7ddd77c7c0fb89cb0162c2ccb632779e12eaecc9b93431ff19040e0c05f"
    "06fcf7428b5dd7ceea624a20f57ed3b471916b7f53324f0564063224c6d2336d1c"
)
SIGNATURE_OF_THE_GUIDE = (
    "0xa4ee6b068060caeac447216b592a918b085642056248e6ff50ba22b50e888487"
    "5ead28f06cbcefcbb93d03997f807fd242354d878756f4690f791ae8dbfcde841c"
)
BROKER = {"clientType": "broker", "Content-Type": "application/json"}


async def post(
    caller: Caller, step: str, fields: dict[str, object], headers: dict[str, str] | None = None
) -> Reply:
    """Send one step of the flow."""
    path = f"/bapi/futures/v1/public/future/web3/{step}"
    given = BROKER if headers is None else headers
    return await caller.send("aster", "POST", path, given, json.dumps(fields))


async def nonce_of(caller: Caller, kind: str, address: str = ANVIL_0) -> str:
    """Return a fresh nonce."""
    reply = await post(caller, "get-nonce", {"sourceAddr": address, "type": kind}, {})
    return reply.text("data", "nonce")


def sign(nonce: str, key: str = ANVIL_0_KEY, prefix: str = "You are signing into Astherus ") -> str:
    """Return the wallet's EIP-191 signature of the message with a nonce."""
    signed = Account.sign_message(encode_defunct(text=prefix + nonce), key)
    return "0x" + bytes(signed.signature).hex()


async def log_in(caller: Caller, **change: object) -> Reply:
    """Take a nonce, sign it and log in, with some fields changed."""
    signature = sign(await nonce_of(caller, "LOGIN"))
    fields = {"signature": signature, "sourceAddr": ANVIL_0, "chainId": 56} | change
    return await post(caller, "ae/login", fields)


async def create_key(caller: Caller, **change: object) -> Reply:
    """Take a nonce, sign it and create a key, with some fields changed."""
    signature = sign(await nonce_of(caller, "CREATE_API_KEY"))
    fields = {
        "desc": "test description",
        "ip": "",
        "network": "56",
        "signature": signature,
        "sourceAddr": ANVIL_0,
        "type": "CREATE_API_KEY",
        "sourceCode": "ae",
    }
    return await post(caller, "broker-create-api-key", fields | change)


def refused(reply: Reply, text: str) -> bool:
    """Whether this is a bapi failure: HTTP 200, another code, success false, and the text."""
    assert isinstance(reply.json, dict)
    return (
        reply.status == 200
        and reply.json["code"] != "000000"
        and reply.json["success"] is False
        and reply.json["data"] is None
        and text in reply.text("message")
    )


async def test_nonce_is_six_digits_in_a_text(caller: Caller) -> None:
    """get-nonce gives a text, so that leading zeros stay, in the guide's envelope."""
    reply = await post(caller, "get-nonce", {"sourceAddr": ANVIL_0, "type": "LOGIN"}, {})
    nonce = reply.text("data", "nonce")
    assert len(nonce) == 6
    assert nonce.isdigit()
    assert reply.json == {
        "code": "000000",
        "message": None,
        "messageDetail": None,
        "data": {"nonce": nonce},
        "success": True,
    }


@pytest.mark.parametrize("nonce", ["501182", "000042"])
async def test_login_gives_token_and_uid(caller: Caller, nonce: str) -> None:
    """A wallet that signed its nonce, leading zeros and all, gets a token and its uid."""
    caller.sandbox.knobs.aster.login_nonce = nonce
    reply = await log_in(caller)
    assert isinstance(reply.json, dict)
    data = reply.json["data"]
    assert isinstance(data, dict)
    assert data["uid"] == 12345678
    assert len(reply.text("data", "token")) == 37


@pytest.mark.parametrize(
    ("signature", "accepted"), [(SIGNATURE_OF_501182, True), (SIGNATURE_OF_THE_GUIDE, False)]
)
async def test_guides_nonce_verifies_with_the_right_signature_alone(
    caller: Caller, signature: str, accepted: bool
) -> None:
    """Anvil's signature of nonce 501182 is good; the one that the guide prints is nobody's."""
    caller.sandbox.knobs.aster.login_nonce = "501182"
    reply = await log_in(caller, signature=signature)
    assert isinstance(reply.json, dict)
    assert reply.json["success"] is accepted


async def test_issued_key_signs_at_once(caller: Caller) -> None:
    """The new key has 64 hex digits in both parts and opens V1 immediately."""
    reply = await create_key(caller)
    api_key, secret = reply.text("data", "apiKey"), reply.text("data", "apiSecret")
    query = f"timestamp={START_MS}"
    signature = hmac.new(secret.encode(), query.encode(), "sha256").hexdigest()
    target = f"/fapi/v1/account?{query}&signature={signature}"
    used = await caller.send("aster", "GET", target, {"X-MBX-APIKEY": api_key})
    assert (len(api_key), len(secret), used.status) == (64, 64, 200)
    assert isinstance(reply.json, dict)
    assert reply.json["data"] == {
        "apiKey": api_key,
        "apiSecret": secret,
        "keyId": 0,
        "apiName": None,
    }
    seen = caller.sandbox.requests("aster")[1]
    assert (seen.account, dict(seen.parameters)) == (ANVIL_0, {"desc": "test description"})
    assert secret not in repr(caller.sandbox.requests())


@pytest.mark.parametrize("client_type", ["", "other"])
@pytest.mark.parametrize("step", ["ae/login", "broker-create-api-key"])
async def test_client_type_is_mandatory(caller: Caller, step: str, client_type: str) -> None:
    """Without the header clientType neither step works; the older guide lacks it."""
    kind = "LOGIN" if step == "ae/login" else "CREATE_API_KEY"
    fields: dict[str, object] = {
        "signature": sign(await nonce_of(caller, kind)),
        "sourceAddr": ANVIL_0,
        "chainId": 56,
        "desc": "d",
        "network": "56",
        "type": "CREATE_API_KEY",
    }
    headers = {"clientType": client_type} if client_type else {}
    without = await post(caller, step, fields, headers)
    with_web = await post(caller, step, fields, {"clientType": "web"})
    assert refused(without, "clientType")
    assert isinstance(with_web.json, dict)
    assert with_web.json["success"] is True


async def test_nonce_serves_once(caller: Caller) -> None:
    """The same signature does not log in twice."""
    caller.sandbox.knobs.aster.login_nonce = "501182"
    await nonce_of(caller, "LOGIN")
    fields = {"signature": SIGNATURE_OF_501182, "sourceAddr": ANVIL_0, "chainId": 56}
    first = await post(caller, "ae/login", fields)
    second = await post(caller, "ae/login", fields)
    assert isinstance(first.json, dict)
    assert first.json["success"] is True
    assert refused(second, "nonce expired")


async def test_nonce_is_bound_to_its_type(caller: Caller) -> None:
    """A nonce for a login creates no key, and the other way round."""
    login = sign(await nonce_of(caller, "LOGIN"))
    created = await post(
        caller,
        "broker-create-api-key",
        {
            "desc": "d",
            "network": "56",
            "signature": login,
            "sourceAddr": ANVIL_0,
            "type": "CREATE_API_KEY",
        },
    )
    other = sign(await nonce_of(caller, "CREATE_API_KEY"))
    logged_in = await post(
        caller, "ae/login", {"signature": other, "sourceAddr": ANVIL_0, "chainId": 56}
    )
    assert refused(created, "nonce expired")
    assert refused(logged_in, "signature verification failed")


async def test_nonce_lives_a_minute(caller: Caller) -> None:
    """A nonce is good until its minute is over."""
    signature = sign(await nonce_of(caller, "LOGIN"))
    fields = {"signature": signature, "sourceAddr": ANVIL_0, "chainId": 56}
    caller.clock.time_ms += 60_000
    assert refused(await post(caller, "ae/login", fields), "nonce expired")


@pytest.mark.parametrize("wrong", ["key", "text", "none"])
async def test_signature_must_be_the_wallets(caller: Caller, wrong: str) -> None:
    """Another wallet's signature, another message's, and no signature at all are refused."""
    nonce = await nonce_of(caller, "LOGIN")
    signatures = {
        "key": sign(nonce, STRANGER_KEY),
        "text": sign(nonce, prefix="You are signing into Aster DEX "),
        "none": "0x00",
    }
    fields = {"signature": signatures[wrong], "sourceAddr": ANVIL_0, "chainId": 56}
    assert refused(await post(caller, "ae/login", fields), "signature verification failed")


async def test_wallet_without_account_must_open_one(caller: Caller) -> None:
    """A wallet that the venue does not know is told so in the venue's own words."""
    nonce = await nonce_of(caller, "LOGIN", STRANGER)
    fields = {"signature": sign(nonce, STRANGER_KEY), "sourceAddr": STRANGER, "chainId": 56}
    reply = await post(caller, "ae/login", fields)
    assert refused(reply, "The account does not exist, please open a futures account")


async def test_source_code_broker_needs_a_broker(caller: Caller) -> None:
    """With the guide's sourceCode "broker" an ordinary account counts as none."""
    ordinary = await create_key(caller, sourceCode="broker")
    caller.sandbox.accounts.add(AsterAccount(ANVIL_0, broker=True))
    broker = await create_key(caller, sourceCode="broker")
    assert refused(ordinary, "The account does not exist")
    assert isinstance(broker.json, dict)
    assert broker.json["success"] is True


async def test_description_is_unique_by_account(caller: Caller) -> None:
    """A second key of the same description is refused, of another it is issued."""
    first = await create_key(caller)
    second = await create_key(caller)
    other = await create_key(caller, desc="another")
    assert first.text("data", "apiKey") != other.text("data", "apiKey")
    assert refused(second, "description")


async def test_new_keys_can_be_refused(caller: Caller) -> None:
    """With the knob of the stop of 2026-03-25 no key is issued, and logins go on."""
    caller.sandbox.knobs.aster.refuse_new_keys = True
    before = dict(caller.sandbox.accounts.aster_keys)
    assert refused(await create_key(caller), "no longer supported")
    assert caller.sandbox.accounts.aster_keys == before
    assert (await log_in(caller)).text("data", "token")


@pytest.mark.parametrize(
    ("step", "change"),
    [
        ("ae/login", {"chainId": "56"}),
        ("ae/login", {"sourceAddr": 1}),
        ("ae/login", {"sourceAddr": ""}),
        ("ae/login", {"signature": None}),
        ("broker-create-api-key", {"desc": ""}),
        ("broker-create-api-key", {"network": 56}),
        ("broker-create-api-key", {"type": "LOGIN"}),
    ],
)
async def test_fields_have_their_types(
    caller: Caller, step: str, change: dict[str, object]
) -> None:
    """A mandatory field that is absent or of another type is named."""
    reply = await (log_in if step == "ae/login" else create_key)(caller, **change)
    assert refused(reply, f"illegal parameter: {next(iter(change))}")


async def test_get_nonce_knows_two_types(caller: Caller) -> None:
    """A nonce is for LOGIN or CREATE_API_KEY."""
    reply = await post(caller, "get-nonce", {"sourceAddr": ANVIL_0, "type": "OTHER"})
    assert refused(reply, "type")


async def test_only_the_three_steps_are_there(caller: Caller) -> None:
    """A get, a body that is no object, and another path are refused."""
    path = "/bapi/futures/v1/public/future/web3/get-nonce"
    body = json.dumps({"sourceAddr": ANVIL_0, "type": "LOGIN"})
    got = await caller.send("aster", "GET", path, BROKER, body)
    no_object = await caller.send("aster", "POST", path, body="[]")
    other = await post(caller, "other", {"a": 1})
    assert refused(got, "illegal parameter")
    assert refused(no_object, "illegal parameter")
    assert got.text("message") == no_object.text("message") == "illegal parameter"
    assert other.status == 404
