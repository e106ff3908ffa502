from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from privyseal.v1 import signing_service_pb2 as pb
from privyseald.clock import SystemClock
from privyseald.key import Algorithm
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.embedded import EmbeddedStore
from privyseald.signing.secret import SecretBytes
from service import (
    ASTER,
    ASTER_AGENT,
    ASTER_WALLET,
    KIIEX,
    NEBULAEX,
    OPERATOR,
    WHITEBIT,
    Failure,
    SandboxKey,
    Service,
    Stubs,
    failure_of,
    import_sandbox_key,
    sign_request,
)

_BODY = "http_request.body"
_QUERY = "http_request.query"
_PATH = "http_request.path"
_METHOD = "http_request.method"
_TYPE = "http_request.content_type"
_NEW = "/api/v4/order/new"
_DEEP = b'{"a":' * 65 + b"1" + b"}" * 65

# A key, a method, a path, a body; the reason, the field, and words that say what to do.
_WRONG: list[tuple[SandboxKey, str, str, bytes, str, str, str]] = [
    (WHITEBIT, "POST", _NEW, b"market=BTC", "BODY_INVALID", _BODY, "is not JSON: line 1"),
    (WHITEBIT, "POST", _NEW, b'{"a":1', "BODY_INVALID", _BODY, "is not JSON: line 1, column 7"),
    (WHITEBIT, "POST", _NEW, b"[1]", "BODY_INVALID", _BODY, "must be a JSON object, as in"),
    (WHITEBIT, "POST", _NEW, b'{"a":1,"a":2}', "BODY_INVALID", _BODY, "give each key once"),
    (WHITEBIT, "POST", _NEW, b'{"a":{"b":1,"b":1}}', "BODY_INVALID", _BODY, "key 'b' twice"),
    (WHITEBIT, "POST", _NEW, b'{"a":NaN}', "BODY_INVALID", _BODY, "holds NaN"),
    (WHITEBIT, "POST", _NEW, b'{"a":-Infinity}', "BODY_INVALID", _BODY, "holds -Infinity"),
    (WHITEBIT, "POST", _NEW, b'{"a":"\xff"}', "BODY_INVALID", _BODY, "is not UTF-8"),
    (WHITEBIT, "POST", _NEW, b"\xef\xbb\xbf{}", "BODY_INVALID", _BODY, "byte order mark"),
    (WHITEBIT, "POST", _NEW, b'{"a":"\\ud800"}', "BODY_INVALID", _BODY, "surrogate pair"),
    (WHITEBIT, "POST", _NEW, _DEEP, "BODY_INVALID", _BODY, "deeper than 64 levels"),
    (WHITEBIT, "POST", _NEW, b"x" * 262_145, "BODY_INVALID", _BODY, "longer than 262144 bytes"),
    (WHITEBIT, "POST", _NEW, b'{"nonce":1}', "PARAMETER_RESERVED", _BODY, "'nonce', which"),
    (WHITEBIT, "POST", _NEW, b'{"request":"/"}', "PARAMETER_RESERVED", _BODY, "leave it out"),
    (WHITEBIT, "POST", _NEW, b'{"nonceWindow":1}', "PARAMETER_RESERVED", _BODY, "leave it out"),
    (WHITEBIT, "POST", _NEW, b'{"\\u006eonce":1}', "PARAMETER_RESERVED", _BODY, "'nonce'"),
    (WHITEBIT, "GET", _NEW, b"", "FIELD_INVALID", _METHOD, "must be POST"),
    (WHITEBIT, "POST", _NEW + "?a=1", b"", "FIELD_INVALID", _QUERY, "in the JSON body"),
    (WHITEBIT, "POST", "/v5/x", b"", "FIELD_INVALID", _PATH, "its paths begin with '/api/'"),
    (WHITEBIT, "post", _NEW, b"", "FIELD_INVALID", _METHOD, "in upper case"),
    (WHITEBIT, "TRACE", _NEW, b"", "FIELD_INVALID", _METHOD, "must be one of GET"),
    (WHITEBIT, "", _NEW, b"", "FIELD_INVALID", _METHOD, "must be one of GET"),
    (WHITEBIT, "POST", "", b"", "FIELD_INVALID", _PATH, "must begin with '/'"),
    (WHITEBIT, "POST", "https://x.test/a", b"", "FIELD_INVALID", _PATH, "without a host"),
    (WHITEBIT, "POST", "/api/../admin", b"", "FIELD_INVALID", _PATH, "give the plain path"),
    (WHITEBIT, "POST", "/api//v4", b"", "FIELD_INVALID", _PATH, "has '//'"),
    (WHITEBIT, "POST", "/api/%6Frder", b"", "FIELD_INVALID", _PATH, "stands plainly in a path"),
    (WHITEBIT, "POST", "/api/a b", b"", "FIELD_INVALID", _PATH, "percent-encode the others"),
    (WHITEBIT, "POST", "/api/\n", b"", "FIELD_INVALID", _PATH, "percent-encode the others"),
    (WHITEBIT, "POST", "/api/" + "a" * 2_048, b"", "FIELD_INVALID", _PATH, "at most 2048"),
    (NEBULAEX, "GET", "/api/v2/x", b"{}", "BODY_INVALID", _BODY, "give parameters in 'query'"),
    (NEBULAEX, "POST", "/api/v2/x", b"no", "BODY_INVALID", _BODY, "is not JSON"),
    (NEBULAEX, "POST", "/api/v2/x?a=1&a=2", b"", "FIELD_INVALID", _QUERY, "'a' twice"),
    (KIIEX, "POST", "/ap/SendOrder", b'{"a":NaN}', "BODY_INVALID", _BODY, "no JSON number"),
    (KIIEX, "DELETE", "/ap/SendOrder", b"", "FIELD_INVALID", _METHOD, "must be POST or GET"),
    (KIIEX, "POST", "/api/x", b"", "FIELD_INVALID", _PATH, "its paths begin with '/ap/'"),
    (ASTER, "POST", "/fapi/v1/order", b'{"a":1}', "BODY_INVALID", _BODY, "must be a form"),
    (ASTER, "POST", "/fapi/v1/order", b"a=\xc3\xa4", "BODY_INVALID", _BODY, "percent-encoded"),
    (ASTER, "POST", "/fapi/v1/order", b"a=1&&b=2", "FIELD_INVALID", _BODY, "stray '&'"),
    (ASTER, "POST", "/fapi/v1/order", b"a=1&a=2", "FIELD_INVALID", _BODY, "give each once"),
    (ASTER, "POST", "/fapi/v1/order?a=1", b"a=2", "FIELD_INVALID", _QUERY, "both hold 'a'"),
    (ASTER, "POST", "/fapi/v1/order", b"timestamp=1", "PARAMETER_RESERVED", _BODY, "leave it"),
    (ASTER, "GET", "/fapi/v1/order?signature=1", b"", "PARAMETER_RESERVED", _QUERY, "leave it"),
    (ASTER, "GET", "/fapi/v1/order?%73ignature=1", b"", "PARAMETER_RESERVED", _QUERY, "leave it"),
    (ASTER, "GET", "/fapi/v1/order?recvWindow=0", b"", "FIELD_INVALID", _QUERY, "1 to 60000"),
    (ASTER, "PATCH", "/fapi/v1/order", b"", "FIELD_INVALID", _METHOD, "must be GET, POST, PUT"),
    (ASTER, "POST", "/bapi/futures/x", b"", "FIELD_INVALID", _PATH, "use Login"),
    (ASTER_AGENT, "POST", "/fapi/v3/order", b"nonce=1", "PARAMETER_RESERVED", _BODY, "leave it"),
    (ASTER_AGENT, "POST", "/fapi/v3/order?a=1", b"b=1", "FIELD_INVALID", _QUERY, "in one place"),
    (ASTER_AGENT, "POST", "/fapi/v3/approveAgent", b"", "INTENT_UNSUPPORTED", _PATH, "typed_data"),
]


@pytest.mark.parametrize(
    ("key", "method", "path", "body", "reason", "field", "words"),
    _WRONG,
    ids=[f"{row[0].venue}-{number}" for number, row in enumerate(_WRONG)],
)
async def test_a_wrong_request_is_refused_by_name(  # a row of the table
    service: Service,
    operator: Stubs,
    key: SandboxKey,
    method: str,
    path: str,
    body: bytes,
    reason: str,
    field: str,
    words: str,
) -> None:
    """INVALID_ARGUMENT with reason and field, words that help, no nonce, and an audit line."""
    await import_sandbox_key(operator, "one", key)
    high_water = service.directory / "nonces.high-water"
    failure = await failure_of(operator.signing.Sign(sign_request("one", method, path, body)))
    assert (failure.code, failure.reason, failure.field_name) == ("INVALID_ARGUMENT", reason, field)
    assert failure.metadata == {"field": field}
    assert failure.message.startswith(f"{field}: ")
    assert words in failure.message
    assert high_water.read_bytes() == b""
    line = service.audit_lines()[-1]
    assert (line["key"], line["reason"], line.get("nonce")) == ("keys/one", reason, None)


async def test_a_query_is_given_once(operator: Stubs) -> None:
    """A query behind the path and in the list leaves a doubt, and is refused."""
    await import_sandbox_key(operator, "as", ASTER)
    request = sign_request("as", "GET", "/fapi/v1/order?symbol=BTCUSDT")
    request.http_request.query.add(name="orderId", value="1")
    assert await failure_of(operator.signing.Sign(request)) == Failure(
        "INVALID_ARGUMENT",
        f"{_QUERY}: is given twice, in 'path' behind '?' and in 'query'; give it in one of them",
        "FIELD_INVALID",
        {"field": _QUERY},
        _QUERY,
    )


@pytest.mark.parametrize(
    ("key", "content_type"),
    [
        (WHITEBIT, "text/plain"),
        (WHITEBIT, "application/json; charset=utf-8"),
        (KIIEX, "application/xml"),
        (ASTER, "application/json"),
        (NEBULAEX, "multipart/form-data"),
        (NEBULAEX, "application/json\r\nX-Evil: 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.venue,
)
async def test_a_content_type_that_the_venue_has_not(
    operator: Stubs, key: SandboxKey, content_type: str
) -> None:
    """A media type that nobody here could read is refused."""
    await import_sandbox_key(operator, "one", key)
    paths = {"whitebit": _NEW, "kiiex": "/ap/SendOrder", "aster": "/fapi/v1/order"}
    path = paths.get(key.venue, "/api/v2/x")
    request = sign_request("one", "POST", path, b"{}" if key is not ASTER else b"a=1")
    request.http_request.content_type = content_type
    failure = await failure_of(operator.signing.Sign(request))
    assert (failure.reason, failure.field_name) == ("FIELD_INVALID", _TYPE)


@pytest.mark.parametrize(
    "key",
    ["", "wb", "keys/", "keys/../wb", "keys/..", "../keys/wb", "keys/W", "keys/a..b", "keys/a/b",
     "keys/a\n", "keys/ä", "keys/" + "a" * 64],
)  # fmt: skip
@pytest.mark.parametrize("rpc", ["Sign", "Login", "Logout"])
async def test_a_name_that_is_no_keys_name(operator: Stubs, rpc: str, key: str) -> None:
    """Empty names, dots and slashes are refused before anything is looked up."""
    request: Any = sign_request("x", "POST", _NEW) if rpc == "Sign" else None
    request = request or {"Login": pb.LoginRequest, "Logout": pb.LogoutRequest}[rpc]()
    request.key = key
    failure = await failure_of(getattr(operator.signing, rpc)(request))
    assert (failure.code, failure.reason, failure.field_name) == (
        "INVALID_ARGUMENT",
        "FIELD_INVALID",
        "key",
    )
    assert "give" in failure.message or "must be" in failure.message


async def test_a_request_without_an_intent(operator: Stubs) -> None:
    """What to sign must be said."""
    failure = await failure_of(operator.signing.Sign(pb.SignRequest(key="keys/wb")))
    assert (failure.field_name, failure.message) == (
        "intent",
        "intent: is empty; give one of http_request, personal_message and typed_data",
    )


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "is not JSON"),
        (b"{}", "lacks 'types'"),
        (b"[]", "must be a JSON object"),
        (b'{"types":{},"types":{}}', "'types' twice"),
        (b'{"types":{},"primaryType":"A","domain":{},"message":{"a":NaN}}', "holds NaN"),
        (b'{"types":{},"primaryType":"A","domain":{},"message":{}}', "no valid EIP-712 document"),
        (b"x" * 262_145, "longer than 262144 bytes"),
    ],
)
async def test_typed_data_that_is_none(operator: Stubs, document: bytes, words: str) -> None:
    """A document that could be read in two ways, or in none, is refused."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    request = pb.SignRequest(key="keys/wallet")
    request.typed_data.json = document
    failure = await failure_of(operator.signing.Sign(request))
    assert (failure.reason, failure.field_name) == ("BODY_INVALID", "typed_data.json")
    assert words in failure.message


@pytest.mark.parametrize(("message", "words"), [(b"", "is empty"), (b"x" * 262_145, "longer")])
async def test_a_personal_message_has_a_size(operator: Stubs, message: bytes, words: str) -> None:
    """An empty message and one beyond the limit are refused."""
    await import_sandbox_key(operator, "wallet", ASTER_WALLET)
    request = pb.SignRequest(key="keys/wallet")
    request.personal_message.message = message
    failure = await failure_of(operator.signing.Sign(request))
    assert (failure.code, failure.field_name) == ("INVALID_ARGUMENT", "personal_message.message")
    assert words in failure.message


_DOCUMENT = KeyDocument(
    venue="kiiex",
    environment="production",
    algorithm=Algorithm.HMAC_SHA256,
    fields={"api_key": "test-key", "user_id": "149"},
    material=SecretBytes("test-secret"),
)


async def write(directory: Path, document: KeyDocument) -> None:
    """Write a document past the checks of ImportKey, as a custodian's script could."""
    store = EmbeddedStore.open_path(
        directory / "store.db", key_file=directory / "store.key", clock=SystemClock()
    )
    await store.create("one", document)
    await store.close()


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"fields": {"api_key": "a"}}, "user_id", "is missing: the user id"),
        ({"fields": {"user_id": "149"}}, "api_key", "is missing: the API KEY"),
        ({"fields": {"api_key": "a", "user_id": "x"}}, "user_id", "is malformed"),
        ({"fields": {"api_key": "a", "user_id": "1", "pin": "2"}}, "pin", "is no field"),
        ({"venue": "mtgox"}, "venue", "there is no such venue"),
        ({"environment": "moon"}, "environment", "is no environment of kiiex"),
        ({"algorithm": Algorithm.HMAC_SHA512}, "algorithm", "takes no keys of this algorithm"),
    ],
)
async def test_a_stored_credential_that_is_wrong(
    tmp_path: Path, change: dict[str, Any], field: str, words: str
) -> None:
    """A document that is wrong in the store is a custodian's matter, told by key and field."""
    async with Service(tmp_path) as service:
        await service.app.__aexit__()
        await write(tmp_path, replace(_DOCUMENT, **change))
        await service.restart()
        operator = await service.as_caller(OPERATOR)
        failure = await failure_of(
            operator.signing.Sign(sign_request("one", "POST", "/ap/GetUserInfo"))
        )
    assert (failure.code, failure.reason, failure.metadata) == (
        "FAILED_PRECONDITION",
        "CREDENTIAL_MALFORMED",
        {"key": "keys/one", "field": field},
    )
    assert words in failure.message
    assert failure.message.endswith("; a custodian must correct it")


async def test_a_good_credential_written_past_us_signs(tmp_path: Path) -> None:
    """The document of the test above, as it is, is a good one."""
    async with Service(tmp_path) as service:
        await service.app.__aexit__()
        await write(tmp_path, _DOCUMENT)
        await service.restart()
        operator = await service.as_caller(OPERATOR)
        answer = await operator.signing.Sign(sign_request("one", "POST", "/ap/GetUserInfo"))
    assert answer.algorithm == "hmac-sha256"


async def test_large_numbers_pass_as_they_are(operator: Stubs) -> None:
    """What is unusual but right is not refused: long numbers keep every digit."""
    await import_sandbox_key(operator, "wb", WHITEBIT)
    body = b'{"amount":0.10000000000000000000000001,"n":' + b"9" * 300 + b"}"
    answer = await operator.signing.Sign(sign_request("wb", "POST", _NEW, body))
    assert answer.signed_http_request.body.endswith(b"," + body[1:])
