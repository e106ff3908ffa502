import hmac

import pytest

from sandbox.caller import START_MS, Caller, Reply

KEY = "61d025b8573501c2"
SECRET = "2d0b4979c7fe6986daa8e21d1dc0644f"
BALANCES = "/api/v2/backend/account/balances"
ORDERS = "/api/v2/trading/market/orders"


def signed(nonce: str = str(START_MS), *, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
    """Return the three headers, by the rule of Barong's documentation."""
    signature = hmac.new(secret.encode(), (nonce + key).encode(), "sha256").hexdigest()
    return {"X-Auth-Apikey": key, "X-Auth-Nonce": nonce, "X-Auth-Signature": signature}


def errors(reply: Reply) -> tuple[int, object]:
    """Return status and errors."""
    assert isinstance(reply.json, dict)
    return reply.status, reply.json["errors"]


async def test_published_vector_is_accepted(caller: Caller) -> None:
    """The pair that Barong's own documentation prints opens the account."""
    caller.clock.time_ms = 1_584_524_005_143
    headers = {
        "X-Auth-Apikey": KEY,
        "X-Auth-Nonce": "1584524005143",
        "X-Auth-Signature": "bd42b945e095880e28d046846dbecf655fdf09d95a396a24fe6fe1df42f15d13",
    }
    reply = await caller.send("nebulaex", "GET", BALANCES, headers)
    assert reply.status == 200


async def test_hex_decoded_secret_is_refused(caller: Caller) -> None:
    """A signature made with the secret's hex-decoded bytes does not open the account."""
    caller.clock.time_ms = 1_584_524_005_143
    headers = {
        "X-Auth-Apikey": KEY,
        "X-Auth-Nonce": "1584524005143",
        "X-Auth-Signature": "996045fd8354d39c2bf1402650e44137225737fce2773904b0119787707fb96b",
    }
    reply = await caller.send("nebulaex", "GET", BALANCES, headers)
    assert errors(reply) == (401, ["authz.invalid_signature"])


@pytest.mark.parametrize("offset", [-4999, 0, 4999])
async def test_nonce_inside_the_window_is_accepted(caller: Caller, offset: int) -> None:
    """A nonce less than 5000 ms from the venue's clock is good, before it and after it."""
    reply = await caller.send("nebulaex", "GET", BALANCES, signed(str(START_MS + offset)))
    assert reply.status == 200


@pytest.mark.parametrize("offset", [-5000, 5000, -START_MS + 1_700_000_000])
async def test_nonce_at_the_window_is_expired(caller: Caller, offset: int) -> None:
    """A nonce 5000 ms or more away is expired, past and future; so are seconds."""
    reply = await caller.send("nebulaex", "GET", BALANCES, signed(str(START_MS + offset)))
    assert errors(reply) == (401, ["authz.nonce_expired"])


@pytest.mark.parametrize("nonce", ["0", "-5", "abc", "_1"])
async def test_nonce_without_a_positive_integer_is_no_timestamp(caller: Caller, nonce: str) -> None:
    """A nonce that Ruby's to_i reads as zero or less is refused by its own name."""
    reply = await caller.send("nebulaex", "GET", BALANCES, signed(nonce))
    assert errors(reply) == (401, ["authz.nonce_not_valid_timestamp"])


@pytest.mark.parametrize("nonce", [f"{START_MS}abc", "1_700_000_000_000", f"+{START_MS}"])
async def test_nonce_is_read_as_ruby_does_and_hashed_as_sent(caller: Caller, nonce: str) -> None:
    """Ruby's to_i takes the leading integer, while the text as sent is what is signed."""
    reply = await caller.send("nebulaex", "GET", BALANCES, signed(nonce))
    assert reply.status == 200


async def test_upper_case_signature_is_refused(caller: Caller) -> None:
    """The signature is compared as text, so upper-case hex fails."""
    headers = signed()
    headers["X-Auth-Signature"] = headers["X-Auth-Signature"].upper()
    reply = await caller.send("nebulaex", "GET", BALANCES, headers)
    assert errors(reply) == (401, ["authz.invalid_signature"])


@pytest.mark.parametrize("name", list(signed()))
@pytest.mark.parametrize("blank", [True, False])
async def test_some_but_not_all_headers_is_422(caller: Caller, name: str, blank: bool) -> None:
    """One header blank or missing beside the others is refused before anything else."""
    headers = signed("abc", key="unknown")
    if blank:
        headers[name] = ""
    else:
        del headers[name]
    reply = await caller.send("nebulaex", "GET", BALANCES, headers)
    assert errors(reply) == (422, ["authz.invalid_api_key_headers"])


async def test_no_headers_is_no_session(caller: Caller) -> None:
    """A private path without a key falls back to the session, and there is none."""
    reply = await caller.send("nebulaex", "GET", BALANCES)
    assert errors(reply) == (401, ["authz.invalid_session"])


async def test_unknown_key_is_told_before_its_nonce(caller: Caller) -> None:
    """The key is looked up before the nonce is read."""
    reply = await caller.send("nebulaex", "GET", BALANCES, signed("abc", key="ffff"))
    assert errors(reply) == (401, ["authz.unexistent_apikey"])


async def test_expired_nonce_is_told_before_the_signature(caller: Caller) -> None:
    """The nonce is judged before the signature."""
    headers = signed("1000") | {"X-Auth-Signature": "0" * 64}
    reply = await caller.send("nebulaex", "GET", BALANCES, headers)
    assert errors(reply) == (401, ["authz.nonce_expired"])


async def test_replay_inside_the_window_is_accepted(caller: Caller) -> None:
    """Barong since 2.4.5 keeps no list of signatures, and none covers the request."""
    first = await caller.send("nebulaex", "GET", BALANCES, signed())
    second = await caller.send("nebulaex", "POST", ORDERS, signed(), b'{"market":"btcusdt"}')
    assert (first.status, second.status) == (200, 201)


async def test_replay_is_refused_where_signatures_are_single_use(caller: Caller) -> None:
    """With the knob of older Barongs a signature serves once; a new nonce goes on."""
    caller.sandbox.knobs.nebulaex.single_use = True
    await caller.send("nebulaex", "GET", BALANCES, signed())
    again = await caller.send("nebulaex", "GET", BALANCES, signed())
    fresh = await caller.send("nebulaex", "GET", BALANCES, signed(str(START_MS + 1)))
    assert errors(again) == (401, ["authz.signature_blacklisted"])
    assert fresh.status == 200


@pytest.mark.parametrize(
    ("attribute", "code"),
    [
        ("active", "authz.apikey_not_active"),
        ("owner_active", "authz.invalid_session"),
        ("owner_has_2fa", "authz.disabled_2fa"),
    ],
)
async def test_state_of_key_and_owner_is_checked(caller: Caller, attribute: str, code: str) -> None:
    """An inactive key, an inactive owner and an owner without 2FA each have their code."""
    setattr(caller.sandbox.accounts.nebulaex[KEY], attribute, False)
    reply = await caller.send("nebulaex", "GET", BALANCES, signed())
    assert errors(reply) == (401, [code])


async def test_permissions_bind_method_and_path(caller: Caller) -> None:
    """A key that may only read is refused an order."""
    caller.sandbox.accounts.nebulaex[KEY].permitted = ("GET *",)
    read = await caller.send("nebulaex", "GET", BALANCES, signed())
    order = await caller.send("nebulaex", "POST", ORDERS, signed())
    assert read.status == 200
    assert errors(order) == (401, ["authz.invalid_permission"])


async def test_blocked_path_is_denied(caller: Caller) -> None:
    """A path on the gateway's block list is denied."""
    caller.sandbox.knobs.nebulaex.blocked = ("*/account/*",)
    reply = await caller.send("nebulaex", "GET", BALANCES, signed())
    assert errors(reply) == (401, ["authz.permission_denied"])


async def test_restriction_names_its_category(caller: Caller) -> None:
    """A geography rule answers its category with the status that is configured."""
    caller.sandbox.knobs.nebulaex.restriction = "blacklist"
    caller.sandbox.knobs.nebulaex.restriction_status = 451
    reply = await caller.send("nebulaex", "GET", BALANCES, signed())
    assert errors(reply) == (451, ["authz.restrict.blacklist"])


async def test_errors_are_text_plain_unless_turned(caller: Caller) -> None:
    """The error's content type is text/plain, as gateways were seen to send it, or the knob's."""
    plain = await caller.send("nebulaex", "GET", BALANCES)
    caller.sandbox.knobs.nebulaex.error_content_type = "application/json"
    turned = await caller.send("nebulaex", "GET", BALANCES)
    assert plain.headers["Content-Type"] == "text/plain"
    assert turned.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", ORDERS), ("PUT", BALANCES), ("GET", ORDERS + "/cancel/7")]
)
async def test_wrong_method_is_an_error_in_a_string(caller: Caller, method: str, path: str) -> None:
    """A method that the path does not have gives `errors` as a string, not a list."""
    reply = await caller.send("nebulaex", method, path, signed())
    assert errors(reply) == (405, "server.method_not_allowed")


async def test_order_is_recorded_without_the_signature(caller: Caller) -> None:
    """An order gets an id, and the ledger holds its key, nonce and parameters."""
    body = '{"market":"btcusdt","side":"buy","volume":"1","signature":"s"}'
    reply = await caller.send("nebulaex", "POST", ORDERS, signed(), body)
    (seen,) = caller.sandbox.requests("nebulaex", accepted=True)
    assert isinstance(reply.json, dict)
    assert (reply.json["id"], reply.json["market"]) == (1, "btcusdt")
    assert (seen.account, seen.nonce) == (KEY, str(START_MS))
    assert dict(seen.parameters) == {"market": "btcusdt", "side": "buy", "volume": "1"}


async def test_public_timestamp_is_in_seconds(caller: Caller) -> None:
    """The public clock needs no key and gives seconds."""
    reply = await caller.send("nebulaex", "GET", "/api/v2/backend/public/timestamp")
    assert reply.json == START_MS // 1000


async def test_any_other_path_of_the_api_answers(caller: Caller) -> None:
    """A private path that the sandbox has no answer for gives an empty list."""
    reply = await caller.send("nebulaex", "GET", "/api/v2/backend/account/deposits", signed())
    assert (reply.status, reply.json) == (200, [])


@pytest.mark.parametrize(("method", "path"), [("GET", ORDERS), ("POST", ORDERS + "/cancel/7")])
async def test_only_a_new_order_gets_an_id(caller: Caller, method: str, path: str) -> None:
    """Listing and cancelling orders make none."""
    reply = await caller.send("nebulaex", method, path, signed())
    assert reply.json == []


async def test_path_outside_the_api_is_not_found(caller: Caller) -> None:
    """Nothing is served outside /api/v2/."""
    reply = await caller.send("nebulaex", "GET", "/other", signed())
    assert errors(reply) == (404, ["record.not_found"])
