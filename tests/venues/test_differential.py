"""Each venue against ccxt 4.5.90, an implementation that shares no line with this one.

2,000 requests a venue are drawn from a fixed seed, signed here and by ccxt with the same key,
time and nonce, and compared byte for byte: URL, headers and body. Where the two differ on
purpose, the difference stands here with its reason, and `->` says what makes up for it below.

| whitebit | the nonce is a text in ccxt, a number here: the API takes both -> quotes put in
| whitebit | ccxt says `"nonceWindow":false`, which leaving it out means -> cut out
| whitebit | so payload and signature differ -> our signer over ccxt's own body
| kiiex    | ccxt's `ndax` has another operator's host, and `/AP` -> our origin for ccxt's
| kiiex    | the four headers stand in another order, which HTTP ignores -> as a mapping
| kiiex    | an empty POST has the body `{}` in ccxt, the caller's here -> `{}` given
| kiiex    | `APToken` for `aptoken`: names of headers have no case -> lower case
| aster-v3 | ccxt puts `nonce`, `user`, `signer` first; the order is free, but signed
|          |   -> ccxt's text through our digest and signer, ours by its own signature
| aster-v3 | addresses in lower case, ours with their checksum -> `user` given so
| aster-v3 | `user` is always sent by ccxt, left out by the newest documents -> key with `user`
| aster-v3 | the last byte, v, in upper-case hex -> lower case
| aster-v3 | DELETE and PUT always in the body; the API takes both -> given in the body
| aster-v3 | ccxt's chain id alone changes for the testnet, not its host -> domain replaced
| aster    | ccxt no longer signs V1, which is Binance's futures scheme -> `binance` is asked,
|          |   and only parameters and headers are compared
| aster    | `timestamp` first in ccxt; the order is free, but signed -> as for aster-v3
| aster    | an empty POST or PUT goes in ccxt's body; the API takes both -> read from the query
"""

import base64
import json
import random
import string
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import pytest
from ccxt.aster import aster
from ccxt.binance import binance
from ccxt.ndax import ndax
from ccxt.whitebit import whitebit

from fakes import NOW_MS, credential
from privyseald.key import Algorithm
from privyseald.signing.signer import Credential
from privyseald.signing.string_message import string_message
from privyseald.venues.http_request import JSON, make_request
from privyseald.venues.registry import Venues
from privyseald.venues.venue import Moment, Session, SignedHttpRequest

SEED = 20261121
REQUESTS = 2_000
API_KEY = "29bb2e6ebd3f7c6a"
MATERIAL = "0123456789abcdef0123456789abcdef"
PRIVATE_KEY = "0x4fd0a42218f3eae43a6ce26d22544e986139a01e5b34a62db53757ffca81bae1"
ADDRESS = "0x21cF8Ae13Bb72632562c6Fff438652Ba1a151bb0"
URI_COMPONENT = "~()*!.'"  # what ccxt leaves unescaped, as JavaScript's encodeURIComponent
FORM = "application/x-www-form-urlencoded"
VENUES = Venues()

Oracle = Any
Value = Any


class Requests:
    """Draws requests: short and long, plain and awkward, flat and nested."""

    LETTERS = string.ascii_letters + string.digits + "_-."
    AWKWARD = " !\"#$%&'()*+,/:;<=>?@[\\]^`{|}~\tüé日本😀\u2028"

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # test data, not a secret

    def text(self) -> str:
        """Up to 24 letters, in one of three texts awkward ones."""
        letters = self.LETTERS + (self.AWKWARD if self._random.random() < 0.3 else "")
        return "".join(self._random.choices(letters, k=self._random.randint(1, 24)))

    def name(self) -> str:
        """A parameter's name."""
        return self._random.choice(string.ascii_letters) + "".join(
            self._random.choices(
                string.ascii_letters + string.digits, k=self._random.randint(0, 11)
            )
        )

    def scalar(self) -> Value:
        """A text, a number or a truth value; no float, whose text is not settled."""
        return self._random.choice(
            [
                self.text(),
                str(self._random.randint(0, 10**12) / 10**6),
                self._random.randint(-(2**53), 2**53),
                self._random.random() < 0.5,
            ]
        )

    def value(self, depth: int = 2) -> Value:
        """Any JSON value, lists and objects now and then."""
        kind = self._random.random()
        if depth and kind < 0.1:
            return [self.value(depth - 1) for _ in range(self._random.randint(0, 3))]
        if depth and kind < 0.2:
            names = apart(self.name() for _ in range(self._random.randint(0, 3)))
            return {name: self.value(depth - 1) for name in names}
        return None if kind < 0.23 else self.scalar()

    def parameters(self, *reserved: str) -> dict[str, Value]:
        """A JSON body without the names that a signer adds."""
        names = apart(self.name() for _ in range(self._random.randint(0, 8)))
        return {name: self.value() for name in names if name not in reserved}

    def flat(self, *reserved: str) -> dict[str, str]:
        """Parameters of a form: texts only, as a caller should give numbers too."""
        names = apart(self.name() for _ in range(self._random.randint(0, 8)))
        return {name: self.text() for name in names if name not in reserved}

    def path(self) -> str:
        """One to three segments."""
        parts = self._random.randint(1, 3)
        return "/".join(self.name() for _ in range(parts))

    def one_of(self, *choices: str) -> str:
        """One of the choices."""
        return self._random.choice(choices)

    def nonce(self) -> int:
        """A time in milliseconds."""
        return NOW_MS + self._random.randint(0, 10**11)


def apart(names: Iterable[str]) -> list[str]:
    """Leave out names that differ in case alone: a body with two such is refused here."""
    return list({name.lower(): name for name in names}.values())


def frozen(exchange: Oracle, milliseconds: int) -> None:
    """Stop ccxt's clock at a time."""
    exchange.milliseconds = lambda: milliseconds
    exchange.options["lastNonce"] = 0


async def signed_here(
    keyed: Credential,
    asked: tuple[str, str, list[tuple[str, str]], bytes, str],
    moment: Moment,
    session: Session | None = None,
) -> SignedHttpRequest:
    """Sign as the service does: check, normalise, sign."""
    venue = VENUES.get(keyed.key.venue)
    request = venue.normalise(make_request(*asked), keyed)
    environment = VENUES.environment(venue, keyed.key.environment)
    return await venue.sign(request, keyed, environment, moment, session)


def compact(value: Value) -> bytes:
    """JSON without blanks, not escaped, as ccxt writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


async def test_whitebit_agrees_with_ccxt() -> None:
    """URL, body, payload and signature are ccxt's, but for the way the nonce is written."""
    draw = Requests(SEED)
    oracle = whitebit({"apiKey": API_KEY, "secret": MATERIAL})
    fields = {"api_key": API_KEY, "nonce_window": "false"}
    keyed = credential("whitebit", Algorithm.HMAC_SHA512, MATERIAL, fields)
    for _ in range(REQUESTS):
        path, nonce = draw.path(), draw.nonce()
        parameters = draw.parameters("request", "nonce", "nonceWindow")
        frozen(oracle, nonce)
        theirs = oracle.sign(path, ["v4", "private"], "POST", parameters)
        ours = await signed_here(
            keyed,
            ("POST", f"/api/v4/{path}", [], compact(parameters), JSON),
            Moment(nonce, nonce),
        )
        body = ours.body.replace(f'"nonce":{nonce}'.encode(), f'"nonce":"{nonce}"'.encode(), 1)
        cut = theirs["body"].replace(',"nonceWindow":false', "", 1).encode()
        assert cut == body
        payload = base64.b64encode(theirs["body"].encode())
        edited = {
            "Content-Type": JSON,
            "X-TXC-APIKEY": API_KEY,
            "X-TXC-PAYLOAD": payload.decode(),
            "X-TXC-SIGNATURE": (await keyed.signer.sign(payload)).hex(),
        }
        assert theirs["headers"] == edited
        assert ("POST", theirs["url"]) == (ours.method, ours.url)
        # Our own headers are made of our own body in the same way.
        payload = base64.b64encode(ours.body)
        edited["X-TXC-PAYLOAD"] = payload.decode()
        edited["X-TXC-SIGNATURE"] = (await keyed.signer.sign(payload)).hex()
        assert edited == dict(ours.headers)


@pytest.mark.parametrize("with_session", [False, True], ids=["stateless", "session"])
async def test_kiiex_agrees_with_ccxts_ndax(*, with_session: bool) -> None:
    """URL, headers and body of GET and POST are those of ccxt's AlphaPoint client."""
    draw = Requests(SEED + 1)
    oracle = ndax({"apiKey": API_KEY, "secret": MATERIAL, "login": "x", "password": "x"})
    session = None
    if with_session:
        oracle.options["sessionToken"] = token = "7d0ccf3a-ae63-44f5-a409-2301d80228bc"
        session = Session(token, (("aptoken", token),), "96", NOW_MS, NOW_MS + 1)
    for _ in range(REQUESTS // 2):
        function, nonce, user_id = draw.name(), draw.nonce(), str(draw.nonce() % 1_000).zfill(4)
        oracle.uid = user_id
        keyed = credential(
            "kiiex", Algorithm.HMAC_SHA256, MATERIAL, {"api_key": API_KEY, "user_id": user_id}
        )
        method = draw.one_of("GET", "POST")
        frozen(oracle, nonce)
        parameters = draw.flat() if method == "GET" else draw.parameters()
        theirs = oracle.sign(function, ["private"], method, parameters)
        asked = (
            (method, f"/ap/{function}", list(parameters.items()), b"", "")
            if method == "GET"
            else (method, f"/ap/{function}", [], compact(parameters), JSON)
        )
        ours = await signed_here(keyed, asked, Moment(nonce, nonce), session)
        origin = "https://alphaprod.proxy.kiiex.io/ap"
        assert theirs["url"].replace("https://api.ndax.io:8443/AP", origin, 1) == ours.url
        assert {name.lower(): value for name, value in theirs["headers"].items()} == {
            name.lower(): value for name, value in ours.headers
        }
        assert (theirs["body"] or "").encode() == ours.body


def aster_parameters(draw: Requests) -> dict[str, Value]:
    """Parameters of a form; one in four has a batch of orders."""
    drawn: dict[str, Value] = dict(draw.flat("nonce", "user", "signer", "signature"))
    if draw.nonce() % 4 == 0:
        drawn["batchOrders"] = [draw.flat(), draw.flat()]
    return drawn


def form_value(value: Value) -> str:
    """A list as JSON, all else as text: as Aster's batchOrders wants it."""
    return value if isinstance(value, str) else compact(value).decode()


async def test_aster_v3_agrees_with_ccxt() -> None:
    """The signature of ccxt's text is ccxt's, and our text is ccxt's in another order."""
    draw = Requests(SEED + 2)
    oracle = aster({"privateKey": PRIVATE_KEY})
    user = ADDRESS.lower()
    for _ in range(REQUESTS):
        environment, chain_id = draw.one_of("production", "testnet"), 1666
        if environment == "testnet":
            chain_id = 714
        oracle.options["v3ChainId"] = chain_id
        keyed = credential(
            "aster-v3", Algorithm.SECP256K1, PRIVATE_KEY, {"user": user}, environment=environment
        )
        milliseconds, path = draw.nonce(), draw.path()
        method = draw.one_of("GET", "POST", "PUT", "DELETE")
        parameters = aster_parameters(draw)
        frozen(oracle, milliseconds)
        theirs = oracle.sign(f"v3/{path}", ["fapiPrivate"], method, parameters)
        encoded = "&".join(
            f"{name}={quote(form_value(value), safe=URI_COMPONENT)}"
            for name, value in parameters.items()
        )
        in_query = method == "GET"
        target = f"/fapi/v3/{path}" + (f"?{encoded}" if in_query else "")
        nonce = milliseconds * 1_000
        ours = await signed_here(
            keyed,
            (method, target, [], b"" if in_query else encoded.encode(), ""),
            Moment(milliseconds, nonce),
        )
        sent = theirs["url"].partition("?")[2] if in_query else theirs["body"]
        text, _, signature = sent.rpartition("&signature=")
        added = f"nonce={nonce}&user={user}&signer={user}"
        assert text == (f"{added}&{encoded}" if encoded else added)
        message = string_message("Message", "msg", "AsterSignTransaction", "1", chain_id)
        proved = await keyed.signer.sign(message.digest(text.encode()))
        assert signature.lower() == "0x" + proved.hex()
        # Ours: the same parameters, business first, and the signature of just that text.
        our_sent = ours.url.partition("?")[2] if in_query else ours.body.decode()
        our_text, _, our_signature = our_sent.rpartition("&signature=")
        our_added = f"nonce={nonce}&user={user}&signer={ADDRESS}"
        assert our_text == (f"{encoded}&{our_added}" if encoded else our_added)
        proved = await keyed.signer.sign(message.digest(our_text.encode()))
        assert our_signature == "0x" + proved.hex()
        assert (theirs["headers"] or {}) == dict(ours.headers)
        host = theirs["url"].partition("?")[0]
        if environment == "testnet":
            host = host.replace("asterdex.com", "asterdex-testnet.com", 1)
        assert host == ours.url.partition("?")[0]


async def test_aster_v1_agrees_with_ccxts_binance() -> None:
    """The HMAC of ccxt's text is ccxt's, and ours stands last behind the same parameters."""
    draw = Requests(SEED + 3)
    oracle = binance({"apiKey": API_KEY, "secret": MATERIAL, "options": {"recvWindow": 4_000}})
    fields = {"api_key": API_KEY, "recv_window": "4000"}
    keyed = credential("aster", Algorithm.HMAC_SHA256, MATERIAL, fields)
    for _ in range(REQUESTS):
        milliseconds, path = draw.nonce(), draw.path()
        method = draw.one_of("GET", "POST", "PUT", "DELETE")
        parameters = draw.flat("timestamp", "recvWindow", "signature")
        frozen(oracle, milliseconds)
        theirs = oracle.sign(path, ["fapiPrivate"], method, parameters)
        encoded = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
        in_query = method in {"GET", "DELETE"}
        target = f"/fapi/v1/{path}" + (f"?{encoded}" if in_query else "")
        ours = await signed_here(
            keyed,
            (method, target, [], b"" if in_query else encoded.encode(), ""),
            Moment(milliseconds),
        )
        sent = theirs["url"].partition("?")[2] if in_query else theirs["body"]
        text, _, signature = sent.rpartition("&signature=")
        first, last = f"timestamp={milliseconds}", "recvWindow=4000"
        assert text == (f"{first}&{encoded}&{last}" if encoded else f"{first}&{last}")
        assert signature == (await keyed.signer.sign(text.encode())).hex()
        in_query = in_query or not encoded
        our_sent = ours.url.partition("?")[2] if in_query else ours.body.decode()
        our_text, _, our_signature = our_sent.rpartition("&signature=")
        assert our_text == (f"{encoded}&{last}&{first}" if encoded else f"{last}&{first}")
        assert our_signature == (await keyed.signer.sign(our_text.encode())).hex()
        content_type = {} if in_query else {"Content-Type": FORM}
        assert {**content_type, "X-MBX-APIKEY": API_KEY} == dict(ours.headers)
        assert theirs["headers"]["X-MBX-APIKEY"] == API_KEY
