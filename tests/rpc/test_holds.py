import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bao import MOUNT, TRANSIT, BaoServer
from privyseal.v1 import hold_service_pb2 as pb
from privyseal.v1 import key_service_pb2, signing_service_pb2, venue_service_pb2
from privyseald.sandbox.faults import Fault
from secret_store_home import store_policy, transit_policy
from service import (
    ASTER,
    ASTER_WALLET,
    KIIEX,
    NEBULAEX,
    OPERATOR,
    STRANGER,
    TRADER,
    WHITEBIT,
    Failure,
    Service,
    Stubs,
    eventually,
    failure_in,
    failure_of,
    import_sandbox_key,
    sign_request,
)
from slow_proxy import SlowProxy

_ORDERS = ("POST", "/api/v4/orders")
_ID = "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11"


async def hold(stubs: Stubs, *, cause: str = "runaway", request_id: str = "", **scope: Any) -> str:
    """Create a hold and return its name."""
    request = pb.CreateHoldRequest(hold=pb.Hold(cause=cause, **scope), request_id=request_id)
    name: str = (await stubs.holds.CreateHold(request)).hold.name
    return name


async def lift(stubs: Stubs, name: str) -> None:
    """Delete a hold."""
    await stubs.holds.DeleteHold(pb.DeleteHoldRequest(name=name))


async def names(stubs: Stubs, **page: Any) -> list[str]:
    """Return the names of the holds that the caller may read."""
    answer = await stubs.holds.ListHolds(pb.ListHoldsRequest(**page))
    return [each.name for each in answer.holds]


async def reason(call: Any) -> str:
    """Return why an RPC was refused, nothing where it was answered."""
    done = (await asyncio.gather(call, return_exceptions=True))[0]
    if not isinstance(done, BaseException):
        return ""

    async def failing() -> None:
        raise done

    return (await failure_of(failing())).reason


def login(key_id: str) -> signing_service_pb2.LoginRequest:
    """Return a request for a session."""
    return signing_service_pb2.LoginRequest(key=f"keys/{key_id}")


def generated(key_id: str, venue: str = "aster") -> signing_service_pb2.CreateKeyRequest:
    """Return an order of a key that is made here."""
    return signing_service_pb2.CreateKeyRequest(
        key_id=key_id,
        venue=venue,
        generated=signing_service_pb2.GeneratedKey(algorithm="secp256k1"),
    )


def issued(key_id: str, using: str, request_id: str = "") -> signing_service_pb2.CreateKeyRequest:
    """Return an order of a key that Aster issues."""
    return signing_service_pb2.CreateKeyRequest(
        key_id=key_id,
        venue="aster",
        venue_issued=signing_service_pb2.VenueIssuedKey(
            using_key=f"keys/{using}", description=f"desk {key_id}"
        ),
        request_id=request_id,
    )


@pytest.fixture
async def desk(operator: Stubs) -> Stubs:
    """A caller who may do everything, with a key at each of four venues."""
    keys = {"wb": WHITEBIT, "nx": NEBULAEX, "kx": KIIEX, "wallet": ASTER_WALLET}
    for key_id, key in keys.items():
        await import_sandbox_key(operator, key_id, key)
    return operator


async def test_a_hold_on_a_key_stops_its_use_at_once(desk: Stubs) -> None:
    """The answer to Sign says who may read why, and the key works again when it is lifted."""
    await desk.signing.Sign(sign_request("wb", *_ORDERS))
    name = await hold(desk, key="keys/wb", cause="runaway\nstrategy")

    failure = await failure_of(desk.signing.Sign(sign_request("wb", *_ORDERS)))
    began = failure.message.partition("since ")[2][:20]
    assert failure == Failure(
        "FAILED_PRECONDITION",
        f"keys/wb is stopped by {name} since {began}: runaway strategy. Whoever may "
        f"'delete-hold' lifts it with 'privyseal hold delete {name.removeprefix('holds/')}'",
        "HELD",
        {"hold": name, "key": "keys/wb", "cause": "runaway strategy"},
        precondition=("HELD", "keys/wb"),
    )
    await lift(desk, name)
    await desk.signing.Sign(sign_request("wb", *_ORDERS))


_USES: dict[str, Callable[[Stubs], Any]] = {
    "sign": lambda desk: desk.signing.Sign(sign_request("wb", *_ORDERS)),
    "validate": lambda desk: desk.signing.Sign(sign_request("wb", *_ORDERS, validate_only=True)),
    "sign nx": lambda desk: desk.signing.Sign(
        sign_request("nx", "GET", "/api/v2/trading/account/balances")
    ),
    "login": lambda desk: desk.signing.Login(login("kx")),
    "create": lambda desk: desk.signing.CreateKey(generated("made")),
    "create using": lambda desk: desk.signing.CreateKey(issued("issued", "wallet")),
}


@pytest.mark.parametrize(
    ("scope", "stopped"),
    [
        ({"key": "keys/wb"}, {"sign", "validate"}),
        ({"key": "keys/made"}, {"create"}),
        ({"key": "keys/wallet"}, {"create using"}),
        ({"venue": "kiiex"}, {"login"}),
        ({"venue": "whitebit"}, {"sign", "validate"}),
        ({"venue": "aster"}, {"create", "create using"}),
        ({"caller": TRADER}, set()),
        ({"caller": OPERATOR}, set(_USES)),
        ({"all": True}, set(_USES)),
    ],
)
async def test_a_hold_stops_what_it_names(
    desk: Stubs, scope: dict[str, Any], stopped: set[str]
) -> None:
    """Each use of a key is stopped by its own holds, and by no others."""
    await hold(desk, **scope)
    reasons = {use: await reason(call(desk)) for use, call in _USES.items()}
    assert reasons == {use: "HELD" if use in stopped else "" for use in _USES}


async def test_custodians_work_on(desk: Stubs) -> None:
    """A hold on all stops neither looking, nor what one does after a leak."""
    await desk.signing.Login(login("kx"))
    name = await hold(desk, all=True)

    await desk.venues.ListVenues(venue_service_pb2.ListVenuesRequest())
    await desk.keys.GetKey(key_service_pb2.GetKeyRequest(name="keys/wb"))
    rotation = key_service_pb2.RotateKeyRequest(name="keys/wb", plaintext=b"other-secret")
    assert (await desk.keys.RotateKey(rotation)).key.version == 2
    await import_sandbox_key(desk, "another", WHITEBIT)
    await desk.keys.DisableKey(key_service_pb2.DisableKeyRequest(name="keys/nx"))
    await desk.keys.EnableKey(key_service_pb2.EnableKeyRequest(name="keys/nx"))
    await desk.keys.DeleteKey(key_service_pb2.DeleteKeyRequest(name="keys/nx"))
    await desk.signing.Logout(signing_service_pb2.LogoutRequest(key="keys/kx"))
    assert [name] == await names(desk)


async def test_who_is_held_does_nothing(service: Service, desk: Stubs) -> None:
    """Not even read, and least of all lift; others may."""
    trader = await service.as_caller(TRADER)
    await trader.venues.ListVenues(venue_service_pb2.ListVenuesRequest())
    name = await hold(desk, caller=TRADER)
    calls = (
        trader.venues.ListVenues(venue_service_pb2.ListVenuesRequest()),
        trader.signing.Sign(sign_request("wb", *_ORDERS)),
        trader.holds.ListHolds(pb.ListHoldsRequest()),
        trader.holds.DeleteHold(pb.DeleteHoldRequest(name=name)),
    )
    failures = [await failure_of(call) for call in calls]
    assert ["HELD"] * 4 == [failure.reason for failure in failures]
    assert {"hold": name, "cause": "runaway", "caller": TRADER} == failures[0].metadata

    await lift(desk, name)
    await trader.venues.ListVenues(venue_service_pb2.ListVenuesRequest())


async def test_who_holds_itself_needs_another(desk: Stubs) -> None:
    """One's own leaked certificate can be stopped with it, but not let loose again."""
    name = await hold(desk, caller=OPERATOR)
    assert await reason(desk.holds.DeleteHold(pb.DeleteHoldRequest(name=name))) == "HELD"


async def test_a_hold_is_not_told_to_strangers(service: Service, desk: Stubs) -> None:
    """Policy comes first: what a caller may not use is denied, held or not."""
    trader, stranger = await service.as_caller(TRADER), await service.as_caller(STRANGER)
    for scope in ({"key": "keys/wb"}, {"venue": "whitebit"}, {"all": True}):
        await hold(desk, **scope)
        assert await reason(trader.signing.Sign(sign_request("wb", *_ORDERS))) == "POLICY_DENIED"
    assert await reason(stranger.signing.Login(login("kx"))) == "POLICY_DENIED"
    assert await reason(stranger.signing.CreateKey(generated("made"))) == "POLICY_DENIED"


async def test_an_unknown_key_can_be_held(desk: Stubs) -> None:
    """Stop first, ask later."""
    await hold(desk, key="keys/not-there-yet")
    assert await reason(desk.signing.Sign(sign_request("not-there-yet", *_ORDERS))) == "HELD"


async def test_two_holds_are_lifted_one_by_one(desk: Stubs) -> None:
    """Two people stopped the key; it is free when both are content."""
    first, second = await hold(desk, key="keys/wb"), await hold(desk, key="keys/wb")
    sign = sign_request("wb", *_ORDERS)
    assert first != second
    await lift(desk, first)
    assert (await failure_of(desk.signing.Sign(sign))).metadata["hold"] == second
    await lift(desk, second)
    await desk.signing.Sign(sign)


async def test_one_request_is_one_hold(service: Service, desk: Stubs) -> None:
    """A retry returns the first, also after a restart; its id stands for nothing else."""
    first = await hold(desk, key="keys/wb", request_id=_ID)
    same = _ID.replace("-", "").upper()
    assert first == await hold(desk, key="keys/wb", request_id=same)
    await service.restart()
    again = await service.as_caller(OPERATOR)
    assert first == await hold(again, key="keys/wb", request_id=_ID)
    other = pb.CreateHoldRequest(hold=pb.Hold(all=True, cause="runaway"), request_id=_ID)
    assert await reason(again.holds.CreateHold(other)) == "REQUEST_ID_REUSED"
    await lift(again, first)
    other.hold.key = "keys/wb"
    assert await reason(again.holds.CreateHold(other)) == "REQUEST_ID_REUSED"


async def test_holds_outlive_a_restart(service: Service, desk: Stubs) -> None:
    """What was stopped stays so, and says when and by whom."""
    name = await hold(desk, venue="whitebit")
    before = await desk.holds.ListHolds(pb.ListHoldsRequest())
    await service.restart()

    again = await service.as_caller(OPERATOR)
    assert await reason(again.signing.Sign(sign_request("wb", *_ORDERS))) == "HELD"
    assert before == await again.holds.ListHolds(pb.ListHoldsRequest())
    (listed,) = before.holds
    assert (listed.name, listed.venue, listed.creator) == (name, "whitebit", OPERATOR)
    assert listed.create_time.seconds > 1_700_000_000


async def test_holds_come_in_pages(desk: Stubs) -> None:
    """Each hold is on one page."""
    made = {await hold(desk, key=f"keys/k{number}") for number in range(5)}
    listed: list[str] = []
    token = ""
    while True:
        answer = await desk.holds.ListHolds(pb.ListHoldsRequest(page_size=2, page_token=token))
        listed += [each.name for each in answer.holds]
        token = answer.next_page_token
        if not token:
            break
    assert (sorted(made), 5) == (listed, len(set(listed)))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cause": "why"}, "hold.scope"),
        ({"cause": "why", "all": False}, "hold.scope"),
        ({"cause": "why", "key": "wb"}, "hold.key"),
        ({"cause": "why", "key": "keys/*"}, "hold.key"),
        ({"cause": "why", "caller": ""}, "hold.caller"),
        ({"cause": "why", "caller": "a b"}, "hold.caller"),
        ({"cause": "", "all": True}, "hold.cause"),
        ({"cause": "x" * 257, "all": True}, "hold.cause"),
        ({"cause": "why", "all": True, "name": "holds/a"}, "hold.name"),
        ({"cause": "why", "all": True, "creator": TRADER}, "hold.creator"),
        ({"cause": "why", "all": True, "create_time": {"seconds": 1}}, "hold.create_time"),
    ],
)
async def test_a_hold_is_checked_before_it_is_made(
    operator: Stubs, fields: dict[str, Any], field: str
) -> None:
    """What can't be meant is refused with its place, and nothing is stopped."""
    request = pb.CreateHoldRequest(hold=pb.Hold(**fields))
    failure = await failure_of(operator.holds.CreateHold(request))
    assert (failure.code, failure.field_name) == ("INVALID_ARGUMENT", field)
    assert [] == await names(operator)


async def test_a_request_id_is_a_uuid(operator: Stubs) -> None:
    """Anything else is refused."""
    request = pb.CreateHoldRequest(hold=pb.Hold(all=True, cause="why"), request_id="one")
    assert (await failure_of(operator.holds.CreateHold(request))).field_name == "request_id"


async def test_an_unknown_venue_is_told(operator: Stubs) -> None:
    """A slip of the pen must not look like a stop; the venues that there are are named."""
    failure = await failure_of(
        operator.holds.CreateHold(pb.CreateHoldRequest(hold=pb.Hold(venue="mtgox", cause="why")))
    )
    assert (failure.code, failure.reason) == ("NOT_FOUND", "VENUE_UNKNOWN")
    assert "whitebit" in failure.message


@pytest.mark.parametrize("name", ["holds/0123456789", "holds/", "0123456789", "holds/Z", ""])
async def test_an_unknown_hold_is_told(operator: Stubs, name: str) -> None:
    """A name that is none is a bad field, one that nobody has is not found."""
    failure = await failure_of(operator.holds.DeleteHold(pb.DeleteHoldRequest(name=name)))
    if name == "holds/0123456789":
        assert (failure.code, failure.reason) == ("NOT_FOUND", "HOLD_UNKNOWN")
        assert {"hold": name} == failure.metadata
    else:
        assert (failure.code, failure.field_name) == ("INVALID_ARGUMENT", "name")


def policy(**rules: tuple[str, list[str]]) -> dict[str, Any]:
    """Return a policy: the trader's keys and actions by rule, beside the operator's."""
    holds = ["create-hold", "read-hold", "delete-hold"]
    return {
        "version": 1,
        "rules": [
            {"name": "operator", "callers": [OPERATOR], "keys": ["*"], "allow": holds},
            *(
                {"name": name, "callers": [TRADER], "keys": [keys], "allow": actions}
                for name, (keys, actions) in rules.items()
            ),
        ],
    }


async def test_rules_for_some_keys_are_for_holds_on_these(service: Service) -> None:
    """Who may stop desk-* may stop no other key, and neither a venue, a caller nor all."""
    await service.restart(policy(desk=("desk-*", ["create-hold", "read-hold", "delete-hold"])))
    operator, trader = await service.as_caller(OPERATOR), await service.as_caller(TRADER)
    own = await hold(trader, key="keys/desk-1")
    others = [
        await hold(operator, **scope)
        for scope in ({"key": "keys/wb"}, {"venue": "kiiex"}, {"caller": STRANGER}, {"all": True})
    ]
    for scope in ({"key": "keys/wb"}, {"venue": "kiiex"}, {"caller": STRANGER}, {"all": True}):
        request = pb.CreateHoldRequest(hold=pb.Hold(cause="why", **scope))
        assert await reason(trader.holds.CreateHold(request)) == "POLICY_DENIED"
    assert [own] == await names(trader)
    assert sorted([own, *others]) == await names(operator)
    for name in (*others, "holds/0123456789"):
        failure = await failure_of(trader.holds.DeleteHold(pb.DeleteHoldRequest(name=name)))
        assert (failure.reason, failure.metadata["key"]) == ("POLICY_DENIED", "keys/*")
    await lift(trader, own)


async def test_who_may_read_no_holds_hears_so(service: Service) -> None:
    """An empty list would look as if nothing was stopped."""
    await service.restart(policy(desk=("*", ["sign"])))
    trader = await service.as_caller(TRADER)
    for call in (
        trader.holds.ListHolds(pb.ListHoldsRequest()),
        trader.holds.DeleteHold(pb.DeleteHoldRequest(name="holds/0123456789")),
        trader.holds.CreateHold(pb.CreateHoldRequest(hold=pb.Hold(all=True, cause="why"))),
    ):
        assert await reason(call) == "POLICY_DENIED"


async def test_the_audit_log_tells_who_stopped_what(service: Service, desk: Stubs) -> None:
    """Begin, refusals and end of a hold each have a line."""
    name = await hold(desk, key="keys/wb", request_id=_ID)
    await failure_of(desk.signing.Sign(sign_request("wb", *_ORDERS)))
    await lift(desk, name)
    lines = service.audit_lines()[-3:]
    shown = [
        (line["rpc"].partition("/")[2], line["code"], line["operation"], line["key"])
        for line in lines
    ]
    assert [
        ("CreateHold", "OK", f"{name} keys/wb", "keys/wb"),
        ("Sign", "FAILED_PRECONDITION", "POST /api/v4/orders", "keys/wb"),
        ("DeleteHold", "OK", f"{name} keys/wb", "keys/wb"),
    ] == shown
    assert ["operator"] * 3 == [line["rule"] for line in lines]
    assert _ID == lines[0]["request_id"]


async def test_each_of_a_batch_is_held_by_itself(desk: Stubs) -> None:
    """The other keys of a batch are signed."""
    await hold(desk, key="keys/wb")
    batch = signing_service_pb2.BatchSignRequest(
        requests=[
            sign_request("wb", *_ORDERS),
            sign_request("nx", "GET", "/api/v2/trading/account/balances"),
        ]
    )
    results = (await desk.signing.BatchSign(batch)).results
    assert ["HELD", ""] == [failure_in(each.status).reason for each in results]
    assert [False, True] == [each.HasField("response") for each in results]


@pytest.fixture
async def proxy(bao: BaoServer) -> AsyncIterator[SlowProxy]:
    """A way to Vault that can be slow."""
    bao.enable_transit()
    async with SlowProxy(bao.url) as slow:
        yield slow
    bao.clear_transit()


@pytest.fixture
async def transit(
    bao: BaoServer, prefix: str, proxy: SlowProxy, tmp_path: Path
) -> AsyncIterator[Stubs]:
    """An operator at a server whose signatures are made in Vault, with keys `one` and `two`."""
    (tmp_path / "token").write_text(bao.token(store_policy(prefix) + transit_policy()))
    store = {
        "url": f"vault://{MOUNT}/{prefix}",
        "key_file": None,
        "custody": "transit",
        "transit_mount": TRANSIT,
    }
    vault = {"address": proxy.url, "token_file": tmp_path / "token", "timeout_ms": 10_000}
    (tmp_path / "desk").mkdir()
    async with Service(tmp_path / "desk", vault=vault, store=store) as service:
        stubs = await service.as_caller(OPERATOR)
        for key_id in ("one", "two"):
            await import_sandbox_key(stubs, key_id, ASTER)
            await stubs.signing.Sign(transit_request(key_id))
        yield stubs


def transit_request(key_id: str, **fields: Any) -> signing_service_pb2.SignRequest:
    """Return a request that costs a word with Vault."""
    return sign_request(key_id, "GET", "/fapi/v1/openOrders?symbol=BTCUSDT", **fields)


async def begun(proxy: SlowProxy, pieces: int) -> None:
    """Return when so many pieces for Vault wait."""

    async def is_so() -> bool:
        return proxy.delayed >= pieces

    await eventually(is_so)


@pytest.mark.parametrize("scope", [{"key": "keys/one"}, {"caller": OPERATOR}, {"all": True}])
@pytest.mark.parametrize("request_id", ["", "6b02bde4-64e0-47a5-8b0d-de0ef08e5cb1"])
async def test_a_signature_under_way_is_not_handed_out(
    transit: Stubs, proxy: SlowProxy, scope: dict[str, Any], request_id: str
) -> None:
    """What Vault signs while the hold comes is thrown away, under an id as well."""
    proxy.delay_s = 0.5
    request = transit_request("one", request_id=request_id)
    under_way = asyncio.ensure_future(reason(transit.signing.Sign(request)))
    await begun(proxy, 1)
    await hold(transit, **scope)
    assert not under_way.done()
    assert await under_way == "HELD"


async def test_a_batch_under_way_is_not_handed_out(transit: Stubs, proxy: SlowProxy) -> None:
    """Also what was signed before the hold came: it has not left the server."""
    proxy.delay_s = 0.2
    await transit.signing.Sign(transit_request("one"))
    each = proxy.delayed
    requests = [transit_request("one"), transit_request("two"), transit_request("two")]
    batch = signing_service_pb2.BatchSignRequest(requests=requests)
    under_way = asyncio.ensure_future(transit.signing.BatchSign(batch))
    await begun(proxy, 2 * each + 1)  # the first signature is there
    await hold(transit, key="keys/one")
    results = (await under_way).results
    assert ["HELD", "", ""] == [failure_in(each.status).reason for each in results]
    assert [False, True, True] == [each.HasField("response") for each in results]


async def asked(service: Service) -> None:
    """Return when a venue has a request in its hands."""

    async def has_one() -> bool:
        return bool(service.sandbox.ledger._count)

    await eventually(has_one)


async def test_a_session_under_way_is_not_handed_out(service: Service, desk: Stubs) -> None:
    """The venue opened it, and nobody gets the token."""
    service.sandbox.faults.add(Fault("kiiex", latency_ms=300))
    under_way = asyncio.ensure_future(reason(desk.signing.Login(login("kx"))))
    await asked(service)
    await hold(desk, venue="kiiex")
    assert await under_way == "HELD"


async def test_a_login_under_way_goes_no_further(service: Service, desk: Stubs) -> None:
    """Between the venue's nonce and the login that is signed with it, the hold stops it."""
    service.sandbox.faults.add(Fault("aster", "*/get-nonce", latency_ms=300))
    under_way = asyncio.ensure_future(reason(desk.signing.Login(login("wallet"))))
    await asked(service)
    await hold(desk, key="keys/wallet")
    assert await under_way == "HELD"
    assert ["get-nonce"] == [
        seen.path.rpartition("/")[2] for seen in service.sandbox.ledger.list("aster")
    ]


@pytest.mark.parametrize("scope", [{"venue": "kiiex"}, {"caller": OPERATOR}])
async def test_a_watch_ends_with_the_hold(desk: Stubs, scope: dict[str, Any]) -> None:
    """Who watches a session hears of the hold, and then no more."""
    events = desk.signing.WatchSession(signing_service_pb2.WatchSessionRequest(key="keys/kx"))
    stream = aiter(events)
    assert (await anext(stream)).session.token
    await hold(desk, **scope)
    heard: list[str] = []

    async def listen() -> None:
        async with asyncio.timeout(5):
            async for event in stream:
                assert not event.HasField("session")
                heard.append(failure_in(event.failure).reason)

    assert (await failure_of(listen())).reason == "HELD"
    assert "HELD" in heard
