"""An issuer's public keys: a JSON Web Key Set (RFC 7517), read once and strictly."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from privyseald.errors import RequestInvalid
from privyseald.strict_json import JsonValue, parse_object

MAX_BYTES = 262_144
_MAX_KEYS = 100
_SHORTEST_RSA_BITS = 2_048
_LONGEST_RSA_BITS = 8_192
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})


class KeySetInvalid(ValueError):
    """A text that is no key set. The message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key and the algorithms that it may verify."""

    key: RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey = field(repr=False)
    algorithms: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The keys by their ids. Two sets are never equal: a token is verified under one of them."""

    keys: Mapping[str, PublicKey]
    text: bytes = field(repr=False)


def read_key_set(text: bytes) -> KeySet:
    """Return the keys that may verify tokens; others in the set are passed over.

    Raises KeySetInvalid, also where a private key stands there, or no key that can be used.
    """
    keys: dict[str, PublicKey] = {}
    for each in _objects(text):
        if not _PRIVATE.isdisjoint(each):
            raise KeySetInvalid("holds a private key or a shared secret: publish public keys alone")
        key_id, key = each.get("kid"), _public_key(each)
        if key is None or not isinstance(key_id, str):
            continue
        if key_id in keys:
            raise KeySetInvalid("has two keys of one kid")
        keys[key_id] = key
    if not keys:
        raise KeySetInvalid("has no key with a kid that is RSA (2048 bits or more), EC or Ed25519")
    return KeySet(keys, text)


def _objects(text: bytes) -> list[dict[str, JsonValue]]:
    """Return the list of keys. Raises KeySetInvalid."""
    if len(text) > MAX_BYTES:
        raise KeySetInvalid(f"has more than {MAX_BYTES} bytes")
    try:
        found = parse_object(text, "jwks").get("keys")
    except RequestInvalid as error:
        raise KeySetInvalid("is no JSON object") from error
    if not isinstance(found, list) or len(found) > _MAX_KEYS:
        raise KeySetInvalid(f"has no list 'keys' of at most {_MAX_KEYS}, as a JWKS has")
    objects = [each for each in found if isinstance(each, dict)]
    if len(objects) != len(found):
        raise KeySetInvalid("has a key that is no JSON object")
    return objects


def _public_key(each: Mapping[str, JsonValue]) -> PublicKey | None:
    """Return the key, None where it is of a kind or for a use that is not ours."""
    operations = each.get("key_ops", ["verify"])
    if each.get("use", "sig") != "sig" or not isinstance(operations, list):
        return None
    if "verify" not in operations:
        return None
    document = {name: value for name, value in each.items() if isinstance(value, str)}
    read = _KINDS.get(document.get("kty", ""))
    if read is None:
        return None
    try:
        key = read(document)
    except (jwt.InvalidKeyError, ValueError, TypeError) as error:
        raise KeySetInvalid(f"has a malformed key of kty {document['kty']}") from error
    if key is None or "alg" not in document:
        return key
    algorithms = key.algorithms & {document["alg"]}
    return PublicKey(key.key, algorithms) if algorithms else None


def _rsa(document: dict[str, str]) -> PublicKey | None:
    key = RSAAlgorithm.from_jwk(document)
    if not isinstance(key, RSAPublicKey):
        return None
    fits = _SHORTEST_RSA_BITS <= key.key_size <= _LONGEST_RSA_BITS
    return PublicKey(key, _RSA) if fits else None


def _curve(document: dict[str, str]) -> PublicKey | None:
    if document.get("crv") not in {"P-256", "P-384", "P-521"}:
        return None
    key = ECAlgorithm.from_jwk(document)
    if not isinstance(key, EllipticCurvePublicKey):
        return None
    return PublicKey(key, frozenset({_CURVES[key.curve.name]}))


def _edwards(document: dict[str, str]) -> PublicKey | None:
    if document.get("crv") != "Ed25519":
        return None
    key = OKPAlgorithm.from_jwk(document)
    return PublicKey(key, frozenset({"EdDSA"})) if isinstance(key, Ed25519PublicKey) else None


_KINDS = {"RSA": _rsa, "EC": _curve, "OKP": _edwards}
