import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fakes import FakeClock
from privyseal.v1 import signing_service_pb2 as pb
from privyseal.v1 import venue_service_pb2
from privyseald.rpc.identity import tokens as tokens_module
from privyseald.rpc.identity.jws import Unverified, take_apart
from service import (
    KIIEX,
    NEBULAEX,
    OPERATOR,
    Service,
    Stubs,
    eventually,
    failure_of,
    import_sandbox_key,
    sign_request,
)
from tokens import (
    MAKER,
    Issuer,
    bearer,
    jwk,
    jwt_section,
    policy,
    public_pem,
    unsigned,
)

_LIST = venue_service_pb2.ListVenuesRequest()
_SIGN = sign_request("nx", "GET", "/api/v2/backend/account/balances")


@pytest.fixture
def issuer() -> Issuer:
    """Whom the server believes."""
    return Issuer()


def server(folder: Path, issuer: Issuer, **settings: Any) -> Service:
    """Return a server with a port for tokens beside the one for certificates."""
    section = jwt_section(folder, issuer, **{"listen": "127.0.0.1:0", **settings})
    service = Service(folder, server={"jwt": section})
    service.take_policy(policy())
    return service


@pytest.fixture
async def desk(tmp_path: Path, issuer: Issuer) -> AsyncIterator[Service]:
    """A server with a key `nx` that the maker may sign with, and one, `other`, that it may not."""
    async with server(tmp_path, issuer) as running:
        operator = await running.as_caller(OPERATOR)
        for key_id in ("nx", "other"):
            await import_sandbox_key(operator, key_id, NEBULAEX)
        yield running


@pytest.fixture
async def stubs(desk: Service) -> Stubs:
    """Stubs without a certificate, at the port for tokens."""
    return await desk.connect(None, desk.app.server.token_port)


async def refusal(stubs: Stubs, token: str) -> str:
    """Return why a token proves nobody. Its text is in no part of the answer."""
    failure = await failure_of(stubs.venues.ListVenues(_LIST, metadata=bearer(token)))
    assert (failure.code, failure.reason) == ("UNAUTHENTICATED", "CALLER_UNPROVED")
    assert token not in repr(failure)
    return failure.message


async def test_a_token_names_the_caller(desk: Service, stubs: Stubs, issuer: Issuer) -> None:
    """A token signs as its subject, once and again, under the issuer's alias."""
    token = issuer.token()
    for _ in range(2):
        answer = await stubs.signing.Sign(_SIGN, metadata=bearer(token))
        assert answer.signed_http_request.headers
        assert desk.audit_lines()[-1]["caller"] == MAKER


async def test_a_grpc_clients_own_way_to_send_tokens(desk: Service, issuer: Issuer) -> None:
    """Call credentials, as each language's gRPC has them, arrive."""
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(desk.ca_certificate),
        grpc.access_token_call_credentials(issuer.token()),
    )
    target = f"localhost:{desk.app.server.token_port}"
    async with grpc.aio.secure_channel(target, credentials) as channel:
        await Stubs(channel).venues.ListVenues(_LIST)
    assert desk.audit_lines()[-1]["caller"] == MAKER


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65_537, 2_048),
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["RS256", "ES256", "EdDSA"],
)
async def test_each_kind_of_key_verifies(tmp_path: Path, issuer: Issuer, key: Any) -> None:
    """RSA, ECDSA and Ed25519 keys are taken."""
    issuer.keys = {"only": key}
    async with server(tmp_path, issuer) as running:
        stubs = await running.connect(None, running.app.server.token_port)
        await stubs.venues.ListVenues(_LIST, metadata=bearer(issuer.token("only")))
        assert running.audit_lines()[-1]["caller"] == MAKER


async def test_a_token_of_another_caller_is_denied_by_policy(stubs: Stubs, issuer: Issuer) -> None:
    """A proved caller may still only do what the policy allows it, with the keys it allows."""
    taker = bearer(issuer.token(sub="taker"))
    failure = await failure_of(stubs.signing.Sign(_SIGN, metadata=taker))
    assert (failure.code, failure.reason) == ("PERMISSION_DENIED", "POLICY_DENIED")
    other = sign_request("other", "GET", "/api/v2/backend/account/balances")
    failure = await failure_of(stubs.signing.Sign(other, metadata=bearer(issuer.token())))
    assert (failure.code, failure.reason) == ("PERMISSION_DENIED", "POLICY_DENIED")


def _now() -> int:
    return int(time.time())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"exp": 1_000_000_000, "iat": 999_999_990}, "the token has expired; get a fresh one"),
        ({"aud": "vault"}, "for another audience"),
        ({"aud": ["vault", "privysealed"]}, "for another audience"),
        ({"aud": None}, "for another audience"),
        ({"iss": "https://issuer.desk.test/"}, "of an issuer that this server does not know"),
        ({"iss": None}, "of an issuer that this server does not know"),
        ({"exp": None}, "lacks the time 'exp'"),
        ({"iat": None}, "lacks the time 'iat'"),
        ({"exp": "soon"}, "lacks the time 'exp'"),
        ({"exp": 1e300}, "lacks the time 'exp'"),
        ({"nbf": 4_000_000_000}, "is not valid yet"),
        ({"nbf": "never"}, "lacks the time 'nbf'"),
        ({"iat": 4_000_000_000, "exp": 4_000_000_060}, "is not valid yet"),
        ({"iat": 1_700_000_000}, "lives longer than this server takes"),
        ({"sub": None}, "claim 'sub' names no caller"),
        ({"sub": ""}, "claim 'sub' names no caller"),
        ({"sub": "a maker"}, "claim 'sub' names no caller"),
        ({"sub": "m" * 257}, "claim 'sub' names no caller"),
        ({"sub": "ma\nker"}, "claim 'sub' names no caller"),
    ],
)
async def test_a_token_that_says_something_else(
    stubs: Stubs, issuer: Issuer, changed: dict[str, Any], words: str
) -> None:
    """Each claim that is wrong or missing proves nobody, and is named to who has the token."""
    assert words in await refusal(stubs, issuer.token(**changed))


async def test_a_number_is_no_name(stubs: Stubs, issuer: Issuer) -> None:
    """A subject that is a number is not taken for the text of its digits."""
    token = unsigned({"alg": "ES256", "kid": "first"}, issuer.claims(sub=7))
    head = token.rpartition(".")[0]
    algorithm = jwt.get_algorithm_by_name("ES256")
    signature = algorithm.sign(head.encode(), issuer.keys["first"])
    whole = head + "." + jwt.utils.base64url_encode(signature).decode()
    assert "claim 'sub' names no caller" in await refusal(stubs, whole)


def by_nobody(issuer: Issuer) -> str:
    """Return a token signed with nothing."""
    return unsigned({"alg": "none", "kid": "first"}, issuer.claims())


def by_nobody_quietly(issuer: Issuer) -> str:
    """Return a token without a signature, as `none` has it."""
    return by_nobody(issuer).rpartition(".")[0] + "."


def by_public_key(issuer: Issuer) -> str:
    """Return a token whose HMAC is made with what everybody knows."""
    head = unsigned({"alg": "HS256", "kid": "first"}, issuer.claims()).rpartition(".")[0]
    key = jwt.get_algorithm_by_name("HS256")
    signature = key.sign(head.encode(), public_pem(issuer.keys["first"]))
    return head + "." + jwt.utils.base64url_encode(signature).decode()


def by_another_key(_: Issuer) -> str:
    """Return a token signed with a key that pretends to be the issuer's."""
    impostor = Issuer()
    return impostor.token()


def by_unknown_key(_: Issuer) -> str:
    """Return a token whose key has an id that is not published."""
    impostor = Issuer()
    impostor.keys["second"] = impostor.keys["first"]
    return impostor.token("second")


def without_kid(issuer: Issuer) -> str:
    """Return a token that does not name its key."""
    return jwt.encode(issuer.claims(), issuer.keys["first"], "ES256")


def with_its_own_key(issuer: Issuer) -> str:
    """Return a token that brings the key that verifies it."""
    key = ec.generate_private_key(ec.SECP256R1())
    headers = {"kid": "first", "jwk": jwk("first", key)}
    return jwt.encode(issuer.claims(), key, "ES256", headers=headers)


def critical(issuer: Issuer) -> str:
    """Return a token with an extension that must be understood."""
    headers = {"kid": "first", "crit": ["exp"]}
    return jwt.encode(issuer.claims(), issuer.keys["first"], "ES256", headers=headers)


def altered(issuer: Issuer) -> str:
    """Return a token whose claims were changed behind its signature."""
    head, _, signature = issuer.token(sub="taker").split(".")
    claims = unsigned({}, issuer.claims()).split(".")[1]
    return f"{head}.{claims}.{signature}"


def twice_named(issuer: Issuer) -> str:
    """Return a token with two subjects."""
    claims = '{"sub":"maker","sub":"taker"}'
    encoded = jwt.utils.base64url_encode(claims.encode()).decode()
    head, _, signature = issuer.token().split(".")
    return f"{head}.{encoded}.{signature}"


def nested(_: Issuer) -> str:
    """Return a token whose header is as deep as it fits."""
    header = jwt.utils.base64url_encode(b"[" * 4_000 + b"]" * 1_000).decode()
    return f"{header}.e30.AA"


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (by_nobody, "signed in a way that this server does not take"),
        (by_nobody_quietly, "is no signed JWT"),
        (by_public_key, "signed in a way that this server does not take"),
        (by_another_key, "signature is not right"),
        (by_unknown_key, "a key that its issuer does not publish"),
        (without_kid, "does not name the key that signed it (kid)"),
        (with_its_own_key, "signature is not right"),
        (critical, "signed in a way that this server does not take"),
        (altered, "signature is not right"),
        (twice_named, "is no signed JWT"),
        (nested, "is no signed JWT"),
    ],
)
async def test_a_forged_token_proves_nobody(
    stubs: Stubs, issuer: Issuer, forge: Callable[[Issuer], str], words: str
) -> None:
    """What the issuer's published key did not sign proves nobody."""
    assert words in await refusal(stubs, forge(issuer))


async def test_a_forger_hears_of_no_claims(stubs: Stubs) -> None:
    """Who has no key hears that the signature is wrong, whatever the claims are."""
    forger = Issuer()
    words = {
        await refusal(stubs, forger.token(**changed))
        for changed in ({"aud": "x"}, {"exp": 1, "iat": 1}, {"sub": None})
    }
    assert words == {"the token's signature is not right; get a fresh one from its issuer"}


async def test_an_algorithm_that_the_issuer_may_not_use(tmp_path: Path, issuer: Issuer) -> None:
    """A good signature of an algorithm that is not configured proves nobody."""
    async with server(tmp_path, issuer, algorithms=["RS256"]) as running:
        stubs = await running.connect(None, running.app.server.token_port)
        assert "does not take from its issuer" in await refusal(stubs, issuer.token())


async def test_a_key_verifies_its_own_algorithm_alone(tmp_path: Path, issuer: Issuer) -> None:
    """A key that is published for one algorithm does not verify another."""
    key = rsa.generate_private_key(65_537, 2_048)
    issuer.keys = {"only": key}
    async with server(tmp_path, issuer, algorithms=["RS256", "PS256"]) as running:
        stubs = await running.connect(None, running.app.server.token_port)
        await stubs.venues.ListVenues(_LIST, metadata=bearer(issuer.token("only")))
        one = jwk("only", key, alg="PS256")
        (tmp_path / "jwks.json").write_bytes(orjson.dumps({"keys": [one]}))
        await eventually(lambda: _is_refused(stubs, issuer.token("only"), "does not publish"))


async def _is_refused(stubs: Stubs, token: str, words: str) -> bool:
    try:
        await stubs.venues.ListVenues(_LIST, metadata=bearer(token))
    except grpc.aio.AioRpcError as error:
        return words in (error.details() or "")
    return False


@pytest.mark.parametrize("size", [8_193, 12_000])
async def test_an_oversized_token_is_refused_unread(stubs: Stubs, size: int) -> None:
    """A token beyond server.jwt.max_token_bytes is refused by its length."""
    words = await refusal(stubs, "e" * size)
    assert words == f"the token has {size} bytes; this server takes 8192"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ((), "neither a client certificate nor a bearer token came"),
        ((("authorization", "Basic dTpw"),), "must be 'Bearer TOKEN'"),
        ((("authorization", "Bearer "),), "must be 'Bearer TOKEN'"),
        ((("authorization", "Bearer"),), "must be 'Bearer TOKEN'"),
        ((("authorization", "Bearer a"), ("authorization", "Bearer b")), "came more than once"),
        ((("authorization", "Bearer a.b.c d"),), "is no signed JWT"),
        ((("authorization", "Bearer ..."),), "is no signed JWT"),
        ((("authorization", "Bearer e30=.e30.AA"),), "is no signed JWT"),
        ((("authorization", "Bearer e.e30.AA"),), "is no signed JWT"),
    ],
)
async def test_metadata_that_is_no_token(stubs: Stubs, metadata: Any, words: str) -> None:
    """Anything but one bearer token proves nobody."""
    failure = await failure_of(stubs.venues.ListVenues(_LIST, metadata=metadata))
    assert (failure.code, failure.reason) == ("UNAUTHENTICATED", "CALLER_UNPROVED")
    assert words in failure.message


async def test_a_certificate_and_a_token_are_too_many(desk: Service, issuer: Issuer) -> None:
    """Neither silently overrides the other: both at once prove nobody, one alone its caller."""
    stubs = await desk.as_caller(OPERATOR)
    assert "came together" in await refusal(stubs, issuer.token())
    await stubs.venues.ListVenues(_LIST)
    assert desk.audit_lines()[-1]["caller"] == OPERATOR


async def test_the_token_counts_where_the_configuration_says_so(
    tmp_path: Path, issuer: Issuer
) -> None:
    """With with_certificate = "token" the token names the caller, and the connection is still
    one of a certificate; without a token the certificate counts.
    """
    section = jwt_section(tmp_path, issuer, with_certificate="token")
    async with Service(tmp_path, server={"jwt": section}) as service:
        stubs = await service.as_caller(OPERATOR)
        await stubs.venues.ListVenues(_LIST, metadata=bearer(issuer.token()))
        assert service.audit_lines()[-1]["caller"] == MAKER
        await stubs.venues.ListVenues(_LIST)
        assert service.audit_lines()[-1]["caller"] == OPERATOR
        assert "signature" in await refusal(stubs, by_another_key(issuer))
        failure = await failure_of((await service.connect(None)).venues.ListVenues(_LIST))
        assert failure.code == "UNAVAILABLE"
        assert service.app.server.token_port == 0


async def test_tokens_alone(tmp_path: Path, issuer: Issuer) -> None:
    """Without a client CA no certificate is asked for, and one that comes anyway proves nobody."""
    tls = {
        "certificate_file": tmp_path / "server.pem",
        "private_key_file": tmp_path / "server-key.pem",
    }
    service = Service(tmp_path, server={"tls": tls, "jwt": jwt_section(tmp_path, issuer)})
    async with service:
        stubs = await service.as_caller(OPERATOR)
        failure = await failure_of(stubs.venues.ListVenues(_LIST))
        assert "neither a client certificate nor a bearer token" in failure.message
        await stubs.venues.ListVenues(_LIST, metadata=bearer(issuer.token()))
        assert service.audit_lines()[-1]["caller"] == MAKER


async def test_a_kubernetes_service_account(tmp_path: Path) -> None:
    """A projected token, with the claims that the API server writes, names its account; what the
    configuration chooses of them, conditions see.
    """
    cluster = Issuer("https://kubernetes.default.svc.cluster.local")
    cluster.keys = {"k8s": rsa.generate_private_key(65_537, 2_048)}
    jwt_claims = {
        "sub": "system:serviceaccount:trading:maker",
        "aud": ["privyseal"],
        "jti": "0d1a5e5f-9bd4-4b0a-9d4e-7e2f1f0f4a51",
        "kubernetes.io": {
            "namespace": "trading",
            "node": {"name": "node-1", "uid": "c1"},
            "pod": {"name": "maker-0", "uid": "c2"},
            "serviceaccount": {"name": "maker", "uid": "c3"},
        },
        "nbf": _now(),
        "exp": _now() + 3_600,
    }
    section = jwt_section(
        tmp_path, cluster, listen="127.0.0.1:0", claims={"namespace": "/kubernetes.io/namespace"}
    )
    service = Service(tmp_path, server={"jwt": section})
    name = "jwt:desk/system:serviceaccount:trading:maker"
    rule = """\
  - name: pods-of-trading
    callers: ["jwt:desk/system:serviceaccount:*"]
    keys: ["nx"]
    accept_bearer: true
    allow: [sign, sign-unlisted]
    when: 'caller.method == "jwt" && caller.claims.namespace == "trading"'
"""
    service.take_policy(policy() + rule.encode())
    async with service:
        await import_sandbox_key(await service.as_caller(OPERATOR), "nx", NEBULAEX)
        stubs = await service.connect(None, service.app.server.token_port)
        await stubs.signing.Sign(_SIGN, metadata=bearer(cluster.token("k8s", **jwt_claims)))
        assert service.audit_lines()[-1]["caller"] == name
        for changed in ({"namespace": "research"}, {"namespace": ["trading"]}, {}):
            elsewhere = cluster.token("k8s", **{**jwt_claims, "kubernetes.io": changed})
            failure = await failure_of(stubs.signing.Sign(_SIGN, metadata=bearer(elsewhere)))
            assert failure.reason == "POLICY_DENIED"
        endless = {**jwt_claims, "kubernetes.io": {"namespace": "n" * 257}}
        words = await refusal(stubs, cluster.token("k8s", **endless))
        assert "claim 'namespace' is longer than 256" in words


async def test_another_claim_may_name_the_caller(tmp_path: Path, issuer: Issuer) -> None:
    """caller_claim names the claim; the issuer's alias stands before it whatever it says."""
    async with server(tmp_path, issuer, caller_claim="client_id") as running:
        stubs = await running.connect(None, running.app.server.token_port)
        token = issuer.token(client_id=OPERATOR)
        await stubs.venues.ListVenues(_LIST, metadata=bearer(token))
        assert running.audit_lines()[-1]["caller"] == f"jwt:desk/{OPERATOR}"


async def test_issuers_do_not_verify_one_anothers_tokens(tmp_path: Path, issuer: Issuer) -> None:
    """A key of one issuer signs nothing of another's, also where the key ids are the same."""
    other = Issuer("https://other.desk.test")
    folder = tmp_path / "other"
    folder.mkdir()
    section = jwt_section(tmp_path, issuer, listen="127.0.0.1:0")
    section["issuers"]["other"] = other.config(jwks_file=other.publish(folder))
    async with Service(tmp_path, server={"jwt": section}) as service:
        stubs = await service.connect(None, service.app.server.token_port)
        await stubs.venues.ListVenues(_LIST, metadata=bearer(other.token()))
        assert service.audit_lines()[-1]["caller"] == "jwt:other/maker"
        assert "signature" in await refusal(stubs, issuer.token(iss=other.name))


async def test_a_cached_token_ends_when_it_expires(tmp_path: Path, issuer: Issuer) -> None:
    """What was verified once is not good for longer than the token is; the leeway is allowed."""
    clock = FakeClock(time_us=_now() * 1_000_000)
    section = jwt_section(tmp_path, issuer, listen="127.0.0.1:0", leeway_ms=2_000)
    async with Service(tmp_path, clock=clock, server={"jwt": section}) as service:
        stubs = await service.connect(None, service.app.server.token_port)
        token = issuer.token()
        await stubs.venues.ListVenues(_LIST, metadata=bearer(token))
        clock.advance(61_000)
        await stubs.venues.ListVenues(_LIST, metadata=bearer(token))
        clock.advance(1_000 + 2_000)
        assert "has expired" in await refusal(stubs, token)
        assert "has expired" in await refusal(stubs, token)


async def test_a_stream_ends_with_its_token(tmp_path: Path, issuer: Issuer) -> None:
    """WatchSession says UNAUTHENTICATED when the token that opened it has expired."""
    clock = FakeClock(time_us=_now() * 1_000_000)
    section = jwt_section(tmp_path, issuer, listen="127.0.0.1:0")
    service = Service(tmp_path, clock=clock, server={"jwt": section})
    service.take_policy(policy())
    async with service:
        await import_sandbox_key(await service.as_caller(OPERATOR), "nx", KIIEX)
        stubs = await service.connect(None, service.app.server.token_port)
        request = pb.WatchSessionRequest(key="keys/nx")
        stream = stubs.signing.WatchSession(request, metadata=bearer(issuer.token()))
        assert (await stream.read()).session.token
        waiting = asyncio.ensure_future(stream.read())
        done, _ = await asyncio.wait((waiting,), timeout=1.2)
        assert not done
        clock.advance(61_000)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(waiting, 10)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "has expired; open it again with a fresh one" in (caught.value.details() or "")
        line = service.audit_lines()[-1]
        assert ("end", "CALLER_UNPROVED") == (line["operation"], line["reason"])


async def test_tokens_stay_out_of_all_that_is_written(
    desk: Service, stubs: Stubs, issuer: Issuer, capfd: pytest.CaptureFixture[str]
) -> None:
    """No part of a token is in the log, on a stream of the process, or in a file it writes."""
    good, expired = issuer.token(), issuer.token(exp=1, iat=1)
    await stubs.signing.Sign(_SIGN, metadata=bearer(good))
    for token in (expired, by_another_key(issuer), by_nobody(issuer), "eyJ" * 50, good[:-4]):
        await refusal(stubs, token)
    await failure_of(
        (await desk.as_caller(OPERATOR)).venues.ListVenues(_LIST, metadata=bearer(good))
    )
    written = "".join(capfd.readouterr())
    parts = [part for token in (good, expired) for part in token.split(".")[1:]]
    for file in desk.directory.rglob("*"):
        if file.is_file():
            written += file.read_bytes().decode("latin-1")
    assert "CALLER_UNPROVED" in written
    assert [] == [part for part in parts if part in written]


async def test_only_so_many_tokens_are_remembered(
    desk: Service, stubs: Stubs, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest unused one goes first, and is verified again when it comes again."""
    monkeypatch.setattr(tokens_module, "_KNOWN", 2)
    verified: list[str] = []

    def noted(token: str) -> Unverified:
        verified.append(token)
        return take_apart(token)

    monkeypatch.setattr(tokens_module, "take_apart", noted)
    first, second, third = (issuer.token(jti=str(each)) for each in range(3))
    for token in (first, second, first, third, first, second):
        await stubs.venues.ListVenues(_LIST, metadata=bearer(token))
    assert verified == [first, second, third, second]
    assert desk.audit_lines()[-1]["caller"] == MAKER
