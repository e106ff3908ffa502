import json

import pytest

from sandbox.caller import START_MS, Caller, Reply

TIME = "/api/v4/public/time"


async def post(caller: Caller, path: str, body: object) -> Reply:
    """Send JSON to the control server."""
    text = body if isinstance(body, str) else json.dumps(body)
    return await caller.send("control", "POST", path, body=text)


async def test_root_lists_the_venues(caller: Caller) -> None:
    """The base URLs of all four venues are there to read."""
    reply = await caller.send("control", "GET", "/")
    assert reply.json == caller.sandbox.urls
    assert set(caller.sandbox.urls) == {"nebulaex", "kiiex", "whitebit", "aster"}


async def test_fault_is_added_listed_and_ended(caller: Caller) -> None:
    """A fault set from outside hits, is listed with all its fields, and ends on request."""
    added = await post(caller, "/faults", {"venue": "whitebit", "status": 503, "spoil": "html"})
    listed = await caller.send("control", "GET", "/faults")
    hit = await caller.send("whitebit", "GET", TIME)
    ended = await caller.send("control", "DELETE", "/faults")
    after = await caller.send("whitebit", "GET", TIME)
    assert added.json == listed.json
    assert isinstance(listed.json, list)
    (fault,) = listed.json
    assert isinstance(fault, dict)
    assert (fault["venue"], fault["status"], fault["spoil"]) == ("whitebit", 503, "html")
    assert (hit.status, ended.json, after.status) == (503, [], 200)


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/faults", {"venue": "kiiex", "delay": 1}, "delay: unknown field; known are"),
        ("/faults", {"venue": "kiiex", "status": "503"}, "status:"),
        ("/faults", {"venue": "kiiex", "spoil": "burn"}, "spoil:"),
        ("/faults", {"venue": "kraken"}, "venue must be one of"),
        ("/faults", {}, "venue:"),
        ("/faults", "{", "the body is not JSON"),
        ("/faults", "[]", "the body must be a JSON object"),
        ("/faults", "[" * 200_000, "the body is not JSON"),
        ("/knobs", {"venue": "kraken"}, "venue: must be one of nebulaex, kiiex"),
        ("/knobs", {"camel_case": True}, "venue: must be one of"),
        ("/knobs", {"venue": "kiiex", "camel": True}, "camel: unknown field"),
        ("/knobs", {"venue": "kiiex", "camel_case": 1}, "camel_case:"),
        ("/accounts", {"api_key": "k", "api_secret": "s"}, "kind: must be one of"),
        ("/accounts", {"kind": ["aster"]}, "kind: must be one of"),
        ("/accounts", {"kind": "whitebit", "api_key": "k"}, "api_secret:"),
        ("/accounts", {"kind": "whitebit", "secret": "s"}, "secret: unknown field"),
        (
            "/accounts",
            {"kind": "kiiex", "user_id": "x", "api_key": "k", "api_secret": "s"},
            "user_id must be digits",
        ),
        ("/unlock", {"user_id": "7"}, "user_id: no such user"),
        ("/unlock", {"user_id": 7}, "user_id:"),
        ("/clock", {"offset": 1}, "offset: unknown field"),
        ("/clock", {"offset_ms": 1.5}, "offset_ms:"),
    ],
)
async def test_wrong_message_is_a_400_that_names_the_field(
    caller: Caller, path: str, body: object, text: str
) -> None:
    """Unknown fields, wrong types and missing fields are named, and nothing changes."""
    reply = await post(caller, path, body)
    assert reply.status == 400
    assert text in reply.text("error")
    assert caller.sandbox.faults.list() == ()


async def test_wrong_message_does_not_echo_a_secret(caller: Caller) -> None:
    """An error names the field and leaves its value out."""
    reply = await post(
        caller, "/accounts", {"kind": "whitebit", "api_key": "k", "api_secret": ["canary"]}
    )
    assert reply.status == 400
    assert "canary" not in reply.text("error")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("PUT", "/faults", 405), ("GET", "/other", 404)]
)
async def test_unknown_operation_is_refused(
    caller: Caller, method: str, path: str, status: int
) -> None:
    """Another method is 405, another path 404."""
    assert (await caller.send("control", method, path)).status == status


@pytest.mark.parametrize(
    ("account", "table", "key"),
    [
        ({"kind": "nebulaex", "api_key": "a", "api_secret": "b"}, "nebulaex", "a"),
        (
            {"kind": "nebulaex", "api_key": "a", "api_secret": "b", "permitted": ["GET *"]},
            "nebulaex",
            "a",
        ),
        (
            {"kind": "kiiex", "user_id": "007", "api_key": "a", "api_secret": "b"},
            "kiiex",
            "007",
        ),
        ({"kind": "whitebit", "api_key": "a", "api_secret": "b"}, "whitebit", "a"),
        ({"kind": "aster", "address": "0xAB", "agents": ["0xCD"]}, "aster", "0xab"),
        ({"kind": "aster-key", "api_key": "a", "api_secret": "b"}, "aster_keys", "a"),
    ],
)
async def test_accounts_of_every_kind_are_added(
    caller: Caller, account: dict[str, object], table: str, key: str
) -> None:
    """Each kind lands in its table with the fields that were given."""
    reply = await post(caller, "/accounts", account)
    added = getattr(caller.sandbox.accounts, table)[key]
    assert reply.json == {"kind": account.pop("kind")}
    for name, value in account.items():
        given = tuple(value) if isinstance(value, list) else value
        assert getattr(added, name) == given


async def test_knobs_are_read_and_turned(caller: Caller) -> None:
    """A knob turned from outside is turned in the venue; the others stay."""
    turned = await post(caller, "/knobs", {"venue": "nebulaex", "blocked": ["/api/*"]})
    read = await caller.send("control", "GET", "/knobs")
    assert turned.json == read.json
    assert caller.sandbox.knobs.nebulaex.blocked == ("/api/*",)
    assert caller.sandbox.knobs.nebulaex.nonce_lifetime_ms == 5_000


async def test_clock_is_moved(caller: Caller) -> None:
    """The venues' clock is set ahead or back, and added to."""
    await post(caller, "/clock", {"offset_ms": 10_000})
    moved = await post(caller, "/clock", {"advance_ms": -3_000})
    read = await caller.send("control", "GET", "/clock")
    venue = await caller.send("whitebit", "GET", TIME)
    assert moved.json == read.json == {"time_ms": START_MS + 7_000, "offset_ms": 7_000}
    assert venue.json == {"time": START_MS // 1000 + 7}


async def test_requests_are_listed_narrowed_and_forgotten(caller: Caller) -> None:
    """The ledger is read by venue and by outcome, and forgotten; numbers go on."""
    await caller.send("whitebit", "GET", TIME)
    await caller.send("whitebit", "POST", TIME)
    await caller.send("aster", "GET", "/fapi/v1/time")

    async def numbers(query: str) -> list[int]:
        reply = await caller.send("control", "GET", f"/requests{query}")
        assert isinstance(reply.json, list)
        return [seen["number"] for seen in reply.json]

    assert await numbers("") == [1, 2, 3]
    assert await numbers("?venue=whitebit") == [1, 2]
    assert await numbers("?accepted=false") == [2]
    assert await numbers("?venue=whitebit&accepted=true") == [1]
    await caller.send("control", "DELETE", "/requests")
    assert await numbers("") == []
    await caller.send("whitebit", "GET", TIME)
    assert await numbers("") == [4]


@pytest.mark.parametrize(
    ("query", "text"),
    [("?accepted=yes", "accepted: must be"), ("?venu=aster", "venu: unknown parameter")],
)
async def test_wrong_narrowing_is_refused(caller: Caller, query: str, text: str) -> None:
    """An unknown parameter or value is a 400, not an empty list."""
    reply = await caller.send("control", "GET", f"/requests{query}")
    assert reply.status == 400
    assert text in reply.text("error")
