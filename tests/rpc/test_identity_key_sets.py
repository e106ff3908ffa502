import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from structlog.testing import capture_logs

from answering_server import Reply, answering
from privyseal.v1 import venue_service_pb2
from privyseald.app import App
from privyseald.config_error import ConfigInvalid
from privyseald.rpc.identity import key_set_file, key_set_url
from privyseald.rpc.identity.key_set import KeySetInvalid, read_key_set
from server_certificate import write_certificate
from service import Service, Stubs, eventually, failure_of
from tls_relay import TlsRelay
from tokens import Issuer, bearer, jwk, jwt_section

_LIST = venue_service_pb2.ListVenuesRequest()


@pytest.fixture
def issuer() -> Issuer:
    """Whom the server believes."""
    return Issuer()


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let seconds be a twentieth, so that no test waits for them."""
    monkeypatch.setattr(key_set_file, "_PAUSE_S", 0.05)
    times = functools.partial(key_set_url.FetchTimes, 600_000, 300, 50)
    monkeypatch.setattr(key_set_url, "FetchTimes", times)


@asynccontextmanager
async def serving(folder: Path, issuer: Issuer, **settings: Any) -> AsyncIterator[Stubs]:
    """Run a server that knows the issuer, and give stubs without a certificate."""
    section = jwt_section(folder, issuer, **{"listen": "127.0.0.1:0", **settings})
    async with Service(folder, server={"jwt": section}) as service:
        yield await service.connect(None, service.app.server.token_port)


async def is_taken(stubs: Stubs, token: str) -> bool:
    """Return whether a token proves its caller."""
    return await refusal(stubs, token) == ""


async def refusal(stubs: Stubs, token: str) -> str:
    """Return why a token proves nobody, nothing where it does."""
    call = stubs.venues.ListVenues(_LIST, metadata=bearer(token))
    if (await call.code()).name == "OK":
        return ""
    failure = await failure_of(call)
    assert failure.code == "UNAUTHENTICATED"
    return failure.message


def replace(file: Path, content: bytes) -> None:
    """Put a file in another's place at once."""
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.rename(file)


async def test_a_replaced_file_counts_within_seconds(tmp_path: Path, issuer: Issuer) -> None:
    """A new key verifies, and tokens of one that is gone prove nobody, cached or not."""
    async with serving(tmp_path, issuer) as stubs:
        old = issuer.token()
        assert await is_taken(stubs, old)
        issuer.keys = {"second": ec.generate_private_key(ec.SECP256R1())}
        replace(tmp_path / "jwks.json", issuer.key_set)
        await eventually(lambda: is_taken(stubs, issuer.token("second")))
        assert "does not publish" in await refusal(stubs, old)


async def test_a_projected_volume_is_followed(tmp_path: Path, issuer: Issuer) -> None:
    """The swap of the link `..data`, with which Kubernetes brings new content, is seen."""
    (tmp_path / "..one").mkdir()
    (tmp_path / "..one/jwks.json").write_bytes(issuer.key_set)
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "mounted.json").symlink_to("..data/jwks.json")
    async with serving(tmp_path, issuer, jwks_file=tmp_path / "mounted.json") as stubs:
        assert await is_taken(stubs, issuer.token())
        issuer.keys["second"] = ec.generate_private_key(ec.SECP256R1())
        (tmp_path / "..two").mkdir()
        (tmp_path / "..two/jwks.json").write_bytes(issuer.key_set)
        (tmp_path / "..data_tmp").symlink_to("..two")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        await eventually(lambda: is_taken(stubs, issuer.token("second")))


@pytest.mark.parametrize("content", [b"", b"{}", b'{"keys":[]}', None])
async def test_a_file_that_goes_bad_leaves_the_last_keys(
    tmp_path: Path, issuer: Issuer, content: bytes | None
) -> None:
    """The last good keys stay in force; it is said once, and a good file counts again."""
    file = tmp_path / "jwks.json"
    with capture_logs() as logs:
        async with serving(tmp_path, issuer) as stubs:
            if content is None:
                file.unlink()
            else:
                replace(file, content)
            told = functools.partial(_has_event, logs, "issuer's keys not replaced")
            await eventually(told)
            await asyncio.sleep(0.3)
            assert await is_taken(stubs, issuer.token())
            issuer.keys["second"] = ec.generate_private_key(ec.SECP256R1())
            replace(file, issuer.key_set)
            await eventually(lambda: is_taken(stubs, issuer.token("second")))
    assert [1, 1] == [
        [line["event"] for line in logs].count(event)
        for event in ("issuer's keys not replaced", "issuer's keys replaced")
    ]


async def _has_event(logs: list[Any], event: str) -> bool:
    return any(line["event"] == event for line in logs)


async def test_a_file_without_keys_is_no_start(tmp_path: Path, issuer: Issuer) -> None:
    """A server that could know no caller of the issuer does not start."""
    section = jwt_section(tmp_path, issuer, listen="127.0.0.1:0")
    service = Service(tmp_path, server={"jwt": section})
    (tmp_path / "jwks.json").write_text('{"keys":[]}')
    with pytest.raises(ConfigInvalid, match=r"^server\.jwt\.issuers\.desk\.jwks_file: .*no key"):
        await service.__aenter__()
    (tmp_path / "jwks.json").unlink()
    with pytest.raises(ConfigInvalid, match=r"jwks_file: .*can't be read \(No such file"):
        async with App(service.config()):
            pass
    await service.__aexit__(None, None, None)


def published(issuer: Issuer, **changed: Any) -> Reply:
    """Return the answer with an issuer's keys."""
    return Reply(body=issuer.key_set.decode(), **changed)


async def test_keys_come_from_a_url(tmp_path: Path, issuer: Issuer) -> None:
    """The keys are asked for at the start, once."""
    with answering(published(issuer)) as site:
        async with serving(tmp_path, issuer, jwks_url=f"{site.url}/keys") as stubs:
            await eventually(lambda: is_taken(stubs, issuer.token()))
            for _ in range(10):
                assert await is_taken(stubs, issuer.token())
        assert [("GET", "/keys")] == [(method, path) for method, path, _ in site.asked]
        assert "Authorization" not in site.asked[0][2]


async def test_keys_come_over_tls_from_a_named_authority(tmp_path: Path, issuer: Issuer) -> None:
    """jwks_ca_file is what the issuer's certificate must come from; a token that it wants to see
    is read anew at each request.
    """
    authority, certificate, key = write_certificate(tmp_path)
    (tmp_path / "token").write_text("one\n")
    with answering(published(issuer)) as site:
        async with TlsRelay(int(site.url.rpartition(":")[2]), certificate, key) as relay:
            settings = {
                "jwks_url": f"https://127.0.0.1:{relay.port}/openid/v1/jwks",
                "jwks_ca_file": authority,
                "jwks_token_file": tmp_path / "token",
            }
            async with serving(tmp_path, issuer, **settings) as stubs:
                await eventually(lambda: is_taken(stubs, issuer.token()))
            assert site.asked[0][2]["Authorization"] == "Bearer one"
            del settings["jwks_ca_file"]
            with capture_logs() as logs:
                async with serving(tmp_path, issuer, **settings) as stubs:
                    words = await refusal(stubs, issuer.token())
    assert "does not know the keys of the token's issuer yet" in words
    assert "check the network, DNS and jwks_ca_file" in str(logs)


async def test_a_rotation_costs_no_rpc(tmp_path: Path, issuer: Issuer) -> None:
    """The first token of a new key waits for the keys to come, and is taken."""
    before = published(issuer)
    issuer.keys["second"] = ec.generate_private_key(ec.SECP256R1())
    with answering(before, published(issuer, delay_s=0.2)) as site:
        async with serving(tmp_path, issuer, jwks_url=site.url) as stubs:
            await eventually(lambda: is_taken(stubs, issuer.token()))
            await asyncio.sleep(0.35)
            first = await asyncio.gather(
                *(is_taken(stubs, issuer.token("second", jti=str(each))) for each in range(20))
            )
        assert ([True] * 20, 2) == (first, len(site.asked))


async def test_unknown_keys_do_not_hammer_the_issuer(tmp_path: Path, issuer: Issuer) -> None:
    """Tokens of made-up keys have the keys asked for once in a while, whatever their number."""
    impostor = Issuer()
    impostor.keys = {str(each): impostor.keys["first"] for each in range(50)}
    with answering(published(issuer)) as site:
        async with serving(tmp_path, issuer, jwks_url=site.url) as stubs:
            await eventually(lambda: is_taken(stubs, issuer.token()))
            begun = time.monotonic()
            for key_id in impostor.keys:
                assert "does not publish" in await refusal(stubs, impostor.token(key_id))
            took_ms = (time.monotonic() - begun) * 1_000
        assert len(site.asked) <= 2 + took_ms / 300


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(503), "answered 503"),
        (Reply(302, headers=(("Location", "/elsewhere"),)), "answered 302"),
        (Reply(body="<html>"), "is no JSON object"),
        (Reply(body=" " * 300_000), "has more than 262144 bytes"),
        (Reply(body=" " * 2_000_000), "did not answer whole"),
        (Reply(hangs_up=True), "did not answer whole"),
        (Reply(body={"keys": [{"kty": "oct", "kid": "first", "k": "c2VjcmV0"}]}), "shared secret"),
    ],
)
async def test_an_issuer_that_answers_nonsense(
    tmp_path: Path, issuer: Issuer, reply: Reply, words: str
) -> None:
    """Until good keys come its callers are refused, and the log says why, once; then they are not.
    And what comes after leaves the last good keys in force.
    """
    with capture_logs() as logs, answering(reply, reply, published(issuer), reply) as site:
        async with serving(tmp_path, issuer, jwks_url=site.url) as stubs:
            await eventually(functools.partial(_has_event, logs, "issuer's keys not fetched"))
            await eventually(lambda: is_taken(stubs, issuer.token()))
            await asyncio.sleep(0.35)
            assert await refusal(stubs, Issuer().token()) != ""
            impostor = Issuer()
            impostor.keys["x"] = impostor.keys["first"]
            assert "does not publish" in await refusal(stubs, impostor.token("x"))
            assert len(site.asked) == 4
            assert await is_taken(stubs, issuer.token())
    causes = [line["cause"] for line in logs if line["event"] == "issuer's keys not fetched"]
    assert len(causes) == 2
    assert all(words in cause for cause in causes)


async def test_a_slow_issuer_holds_nobody_up(tmp_path: Path, issuer: Issuer) -> None:
    """While the keys are on their way other callers are served, and a token of the issuer waits
    two seconds at most.
    """
    second = Issuer("https://second.desk.test")
    (tmp_path / "second").mkdir()
    with answering(published(issuer, delay_s=4)) as site:
        section = jwt_section(tmp_path, issuer, listen="127.0.0.1:0", jwks_url=site.url)
        section["issuers"]["second"] = second.config(jwks_file=second.publish(tmp_path / "second"))
        async with Service(tmp_path, server={"jwt": section}) as service:
            stubs = await service.connect(None, service.app.server.token_port)
            begun = time.monotonic()
            waiting = asyncio.ensure_future(refusal(stubs, issuer.token()))
            await asyncio.sleep(0.1)
            for _ in range(20):
                assert await is_taken(stubs, second.token())
            assert not waiting.done()
            assert "does not know the keys" in await waiting
            assert 1.9 < time.monotonic() - begun < 3.9


def _key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


_EC = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[]", "is no JSON object"),
        (b'{"keys":{}}', "has no list 'keys'"),
        (_key_set(*[{}] * 101), "at most 100"),
        (_key_set("key"), "a key that is no JSON object"),
        (_key_set(jwk("a", _EC, d="AA")), "holds a private key"),
        (_key_set(jwk("a", _EC), jwk("a", _EC)), "two keys of one kid"),
        (_key_set(jwk("a", _EC, x="AA")), "a malformed key of kty EC"),
        (_key_set({"kty": "RSA", "kid": "a", "n": "?", "e": "AQAB"}), "a malformed key of kty RSA"),
        (_key_set(jwk("a", _EC, use="enc")), "has no key with a kid"),
        (_key_set(jwk("a", _EC, key_ops=["sign"])), "has no key with a kid"),
        (_key_set(jwk("a", _EC, alg="RS256")), "has no key with a kid"),
        (_key_set(jwk("a", _EC, kid=None)), "has no key with a kid"),
        (_key_set({"kty": "EC", "crv": "secp256k1", "kid": "a"}), "has no key with a kid"),
        (_key_set({"kty": "OKP", "crv": "Ed448", "kid": "a"}), "has no key with a kid"),
        (_key_set({"kty": "lattice", "kid": "a"}), "has no key with a kid"),
    ],
)
def test_a_key_set_that_can_not_be_used(text: bytes, words: str) -> None:
    """What is wrong is named; keys of other kinds and for other uses are passed over."""
    with pytest.raises(KeySetInvalid, match=words):
        read_key_set(text)


def test_a_short_rsa_key_verifies_nothing() -> None:
    """RSA below 2048 bits is passed over, also beside a good key."""
    short = jwk("short", rsa.generate_private_key(65_537, 1_024))  # noqa: S505  # that is the point
    assert set(read_key_set(_key_set(short, jwk("a", _EC))).keys) == {"a"}
