from dataclasses import fields, replace

import orjson
import pytest

from fakes import NOW_MS
from privyseald.key import Algorithm, Key, KeyState
from privyseald.usecases.answer_codec import KeyCodec, SignedCodec
from privyseald.usecases.signed import Signed, StructuredSignature
from privyseald.venues.venue import SignedHttpRequest

KEY = Key(
    key_id="desk-1",
    venue="whitebit",
    environment="production",
    algorithm=Algorithm.HMAC_SHA512,
    public_id="public-1",
    state=KeyState.ENABLED,
    version=3,
    create_time_ms=NOW_MS,
    update_time_ms=NOW_MS + 1,
    public_key_pem="-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n",
    labels={"desk": "alpha", "note": ""},
)
HTTP = Signed(
    KEY,
    SignedHttpRequest(
        "POST",
        "https://venue.test/api?b=2&a=%0A",
        (("X-TXC-PAYLOAD", "e30="), ("x-twice", "1"), ("x-twice", "\u20ac")),
        b'\n{"a":\n1}\xff\x00',
        NOW_MS + 5_000,
    ),
    NOW_MS,
    2**53 - 1,
)
SIGNATURE = Signed(KEY, StructuredSignature(b"\n" + bytes(64), bytes(range(32)), "0xAb"), NOW_MS)
SIGNED = {
    "http": HTTP,
    "no body, no end, no nonce": Signed(KEY, SignedHttpRequest("GET", "https://x/", ()), NOW_MS),
    "signature": SIGNATURE,
}
KEYS = {
    state.value: replace(KEY, state=state, public_key_pem="", labels={}) for state in KeyState
} | {"whole": KEY}


@pytest.mark.parametrize("answer", SIGNED.values(), ids=SIGNED)
def test_what_was_signed_comes_back(answer: Signed) -> None:
    """Each byte, header and fact."""
    assert answer == SignedCodec().load(SignedCodec().dump(answer))


@pytest.mark.parametrize("answer", KEYS.values(), ids=KEYS)
def test_a_key_comes_back(answer: Key) -> None:
    """Each public fact, in any state."""
    loaded = KeyCodec().load(KeyCodec().dump(answer))

    assert answer == loaded
    assert isinstance(loaded.state, KeyState)


def test_the_forms_are_these() -> None:
    """Whoever adds a field to one of these classes gives its form a new number."""
    http, _, body = SignedCodec().dump(HTTP).partition(b"\n")
    signature, _, value = SignedCodec().dump(SIGNATURE).partition(b"\n")
    key = orjson.loads(KeyCodec().dump(KEY))
    common = {"form", "key", "sign_time_ms", "nonce"}

    assert b'\n{"a":\n1}\xff\x00' == body
    assert b"\n" + bytes(64) == value
    assert common | {"method", "url", "headers", "expire_time_ms"} == set(orjson.loads(http))
    assert common | {"digest", "signer"} == set(orjson.loads(signature))
    assert {"form", "key"} == set(key)
    assert ("http-1", "signature-1", "key-1") == (
        orjson.loads(http)["form"],
        orjson.loads(signature)["form"],
        key["form"],
    )
    assert (
        {
            "key_id",
            "venue",
            "environment",
            "algorithm",
            "public_id",
            "state",
            "version",
            "create_time_ms",
            "update_time_ms",
            "public_key_pem",
            "labels",
        }
        == set(key["key"])
        == {each.name for each in fields(Key)}
    )


CHANGES = {
    "another form": (b'"http-1"', b'"http-2"'),
    "no form": (b'"form"', b'"from"'),
    "another kind": (b'"http-1"', b'"key-1"'),
    "a field more": (b'"nonce":', b'"more":1,"nonce":'),
    "a fact of the key more": (b'"version":', b'"more":1,"version":'),
    "a field less": (b'"nonce":9007199254740991,', b""),
    "a fact of the key less": (b'"version":3,', b""),
    "a text for a number": (b'"version":3', b'"version":"3"'),
    "a fraction": (b'"version":3', b'"version":3.0'),
    "an unknown state": (b"ENABLED", b"ENABLES"),
    "a header of three": (b'["x-twice","1"]', b'["x-twice","1","2"]'),
    "no JSON": (b'{"', b"{"),
}


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_what_another_release_wrote_is_refused(before: bytes, after: bytes) -> None:
    """Nothing is guessed, and the refusal quotes nothing."""
    data = SignedCodec().dump(HTTP)
    assert before in data

    with pytest.raises(ValueError, match="validation error") as caught:
        SignedCodec().load(data.replace(before, after))
    assert "e30=" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{}", b"\n", b"{}\n"])
def test_bytes_that_are_no_answer_are_refused(data: bytes) -> None:
    """By both."""
    for codec in (SignedCodec(), KeyCodec()):
        with pytest.raises(ValueError, match=r"validation error|no line"):
            codec.load(data)


def test_a_key_with_a_tail_is_refused() -> None:
    """Its answer is facts alone."""
    with pytest.raises(ValueError, match="more than a key"):
        KeyCodec().load(KeyCodec().dump(KEY) + b"x")


def test_a_digest_that_is_no_hex_is_refused() -> None:
    """Also where all else is right."""
    data = SignedCodec().dump(SIGNATURE).replace(b'"digest":"00', b'"digest":"0x')
    with pytest.raises(ValueError, match="hex"):
        SignedCodec().load(data)


def test_what_was_only_validated_is_never_kept() -> None:
    """There is nothing to give back."""
    with pytest.raises(TypeError):
        SignedCodec().dump(Signed(KEY, None))
