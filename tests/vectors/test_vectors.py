"""Every vector of this folder, through the venue and the signer that it names."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from fakes import credential
from privyseald.key import Algorithm
from privyseald.signing import eip191, eip712
from privyseald.signing.secp256k1 import Secp256k1Signer
from privyseald.signing.signer import Credential
from privyseald.strict_json import parse_object
from privyseald.venues.http_request import make_request
from privyseald.venues.registry import Venues
from privyseald.venues.venue import Moment, SignedHttpRequest

FOLDER = Path(__file__).parent
VENUES = Venues()

Vector = dict[str, Any]


def load() -> list[Vector]:
    """Every vector of every file, with the file's name."""
    return [
        {"file": path.stem, **vector}
        for path in sorted(FOLDER.glob("*.json"))
        for vector in json.loads(path.read_text("utf-8"))["vectors"]
    ]


VECTORS = load()


def having(part: str) -> pytest.MarkDecorator:
    """Run a test once for each vector that holds `part`."""
    chosen = [vector for vector in VECTORS if part in vector]
    return pytest.mark.parametrize("vector", chosen, ids=[vector["name"] for vector in chosen])


def opened(key: Vector) -> Credential:
    """The vector's key, with a real signer."""
    return credential(
        key["venue"],
        Algorithm(key["algorithm"]),
        key["material"],
        key["fields"],
        environment=key["environment"],
    )


async def sign_request(vector: Vector) -> SignedHttpRequest:
    """Sign as the service does: check, normalise, sign."""
    key, asked = vector["key"], vector["http_request"]
    venue = VENUES.get(key["venue"])
    request = make_request(
        asked["method"],
        asked["path"],
        [(name, value) for name, value in asked["query"]],
        asked["body"].encode(),
        asked["content_type"],
    )
    nonce = None if vector["nonce"] is None else int(vector["nonce"])
    keyed = opened(key)
    return await venue.sign(
        venue.normalise(request, keyed),
        keyed,
        VENUES.environment(venue, key["environment"]),
        Moment(vector["time_ms"], nonce),
        None,
    )


def shown(signed: SignedHttpRequest) -> Vector:
    """A signed request in the layout of `expected`."""
    return {
        "method": signed.method,
        "url": signed.url,
        "headers": [list(header) for header in signed.headers],
        "body": signed.body.decode(),
        "expire_time_ms": signed.expire_time_ms,
    }


async def sign_digest(vector: Vector, digest: bytes) -> Vector:
    """The signature of a digest, with what else `expected` asks for."""
    signer = opened(vector["key"]).signer
    assert isinstance(signer, Secp256k1Signer)
    signature = await signer.sign(digest)
    answer = {
        "address": signer.public_id,
        "digest": "0x" + digest.hex(),
        "signature": "0x" + signature.hex(),
    }
    return {name: value for name, value in answer.items() if name in vector["expected"]}


@having("http_request")
async def test_a_request_is_signed_to_the_expected_bytes(vector: Vector) -> None:
    """A venue returns the URL, headers and body of the vector, to the byte."""
    signed = shown(await sign_request(vector))
    assert vector.get("expected", signed) == signed
    for wrong in vector.get("must_not_contain", ()):
        assert wrong not in json.dumps(signed)


@having("message")
async def test_a_message_is_signed_to_the_expected_bytes(vector: Vector) -> None:
    """A signer returns the vector's signature of the message as it stands."""
    signature = await opened(vector["key"]).signer.sign(vector["message"].encode())
    assert vector["expected"]["signature"] == signature.hex()


@having("payload_of")
def test_a_payload_is_the_base64_of_its_body(vector: Vector) -> None:
    """The message of a payload vector is the padded base64 of the body it stands for."""
    assert vector["message"] == base64.b64encode(vector["payload_of"].encode()).decode()


@having("personal_message")
async def test_a_personal_message_is_signed_as_a_wallet_does(vector: Vector) -> None:
    """The EIP-191 digest, the signature and the address are the vector's."""
    answer = await sign_digest(vector, eip191.digest(vector["personal_message"].encode()))
    assert vector["expected"] == answer
    for wrong in vector.get("must_not_contain", ()):
        assert wrong != answer["signature"]


@having("personal_message_hex")
async def test_a_binary_personal_message_is_signed_as_a_wallet_does(vector: Vector) -> None:
    """EIP-191 over bytes that are no text gives the signature that was published."""
    message = bytes.fromhex(vector["personal_message_hex"].removeprefix("0x"))
    assert vector["expected"] == await sign_digest(vector, eip191.digest(message))


@having("typed_data")
async def test_typed_data_is_signed_as_a_wallet_does(vector: Vector) -> None:
    """The EIP-712 digest and signature are the vector's, from the document's JSON text."""
    document = parse_object(json.dumps(vector["typed_data"]).encode(), "typed_data.json")
    assert vector["expected"] == await sign_digest(vector, eip712.digest(document))


@having("same_signature")
async def test_requests_that_share_a_prehash_share_a_signature(vector: Vector) -> None:
    """A signature without separators is the same for different nonce and user id."""
    one, other = [
        dict(shown(await sign_request(each))["headers"]) for each in vector["same_signature"]
    ]
    assert one["Signature"] == other["Signature"]
    assert (one["UserId"], one["Nonce"]) != (other["UserId"], other["Nonce"])


def test_every_vector_is_used() -> None:
    """No vector stands in a file without a test that reads it, and no name stands twice."""
    kinds = {"http_request", "message", "personal_message", "personal_message_hex"}
    kinds |= {"typed_data", "same_signature"}
    assert [1] * len(VECTORS) == [len(kinds & each.keys()) for each in VECTORS]
    assert len(VECTORS) == len({vector["name"] for vector in VECTORS})


def test_every_vector_says_where_it_comes_from() -> None:
    """A vector has a source, and something to hold against what was signed."""
    for vector in VECTORS:
        assert vector["source"], vector["name"]
        assert vector["kind"] in {"published", "oracle", "computed", "negative", "property"}
        assert {"expected", "must_not_contain", "same_signature"} & vector.keys(), vector["name"]


def test_every_venue_has_vectors() -> None:
    """A venue without a file of vectors named after it fails here."""
    assert {venue.name for venue in VENUES} == {vector["file"] for vector in VECTORS} - {"signing"}
