import json
import time

import jwt
from hypothesis import given
from hypothesis import strategies as st

from privyseald.caller import Caller
from privyseald.clock import SystemClock
from privyseald.errors import CallerUnproved
from privyseald.rpc.identity.issuer import Issuer as TokenIssuer
from privyseald.rpc.identity.issuer import IssuerRule, TokenTimes
from privyseald.rpc.identity.key_set import KeySetInvalid, read_key_set
from privyseald.rpc.identity.tokens import Tokens
from tokens import AUDIENCE, Issuer, jwk, unsigned


class Published:
    """The keys of an issuer, as they are."""

    answers_wishes = False
    confirmed_ms: int | None = None

    def __init__(self, issuer: Issuer) -> None:
        self.current = read_key_set(issuer.key_set)

    def want(self) -> None:
        """There are no others."""

    async def run(self) -> None:
        """They stay as they are."""


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
_ODD_NUMBERS = ("1e9999999999999999999", "-0", "1e-400", "1.5e9", "9" * 400, "-1")
_FUZZED = Issuer()
_FUZZED_TOKENS = Tokens(
    [
        TokenIssuer(
            IssuerRule(
                "desk", _FUZZED.name, AUDIENCE, frozenset({"ES256"}), "sub", {"a": "/b/c", "d": "d"}
            ),
            Published(_FUZZED),
            TokenTimes(0, 3_600_000),
        )
    ],
    SystemClock(),
    8_192,
)


def looked_at(token: str) -> Caller | None:
    """Return whom a token names, None where it proves nobody. Nothing else may happen."""
    try:
        return _FUZZED_TOKENS.caller_of(token)
    except CallerUnproved:
        return None


@given(st.text() | st.text("ab.eyJ-_="), st.binary(max_size=64), st.binary(max_size=64))
def test_any_text_is_a_token_or_proves_nobody(text: str, header: bytes, claims: bytes) -> None:
    """Whatever comes as a token, nothing but a refusal comes of it."""
    assert looked_at(text) is None
    encode = jwt.utils.base64url_encode
    assert looked_at(f"{encode(header).decode()}.{encode(claims).decode()}.AA") is None
    assert looked_at(unsigned({"alg": "ES256", "kid": "first"}, {"iss": text})) is None


@given(_JSON, _JSON, st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk"]))
def test_any_header_and_claims_of_a_forger_prove_nobody(
    header: object, claims: object, name: str
) -> None:
    """Any JSON in header and claims, with a signature that is none, is refused and no more."""
    good = {"alg": "ES256", "kid": "first"}
    assert looked_at(unsigned({**good, name: header}, _FUZZED.claims(b=claims))) is None


@given(
    st.sampled_from(["sub", "aud", "exp", "iat", "nbf", "b", "d", "iss"]),
    _JSON.map(json.dumps) | st.sampled_from(_ODD_NUMBERS),
)
def test_any_claims_of_the_issuer_name_its_callers_or_nobody(name: str, text: str) -> None:
    """A rightly signed token names a caller of its issuer, with claims that are texts, or none."""
    claims = {each: value for each, value in _FUZZED.claims().items() if each != name}
    whole = json.dumps(claims)[:-1] + f',"{name}":{text}}}'
    encode = jwt.utils.base64url_encode
    header = encode(b'{"alg":"ES256","kid":"first"}').decode()
    head = f"{header}.{encode(whole.encode()).decode()}"
    signature = jwt.get_algorithm_by_name("ES256").sign(head.encode(), _FUZZED.keys["first"])
    caller = looked_at(f"{head}.{encode(signature).decode()}")
    if caller is not None:
        assert caller.name.startswith("jwt:desk/")
        assert all(len(value) <= 256 for value in caller.claims.values())
        assert caller.expire_us is not None
        assert caller.expire_us > time.time() * 1_000_000 - 60_000_000


@given(st.sampled_from(["kty", "crv", "x", "y", "kid", "use", "alg", "key_ops", "n", "e"]), _JSON)
def test_any_key_set_is_read_or_refused(name: str, value: object) -> None:
    """Whatever stands in a key, nothing but keys or a refusal comes of it."""
    try:
        keys = read_key_set(
            json.dumps({"keys": [jwk("first", _FUZZED.keys["first"], **{name: value})]}).encode()
        ).keys
    except KeySetInvalid:
        return
    assert all(isinstance(each, str) for each in keys)
