"""Signed tokens (RFC 7515, RFC 7519): taken apart strictly, their signatures verified by PyJWT."""

import base64
import re
from dataclasses import dataclass, field

import jwt

from privyseald.errors import CallerUnproved, RequestInvalid
from privyseald.rpc.identity.key_set import PublicKey
from privyseald.strict_json import JsonValue, parse_object

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_ONE = {
    name: jwt.PyJWS(algorithms=[name])
    for name in (
        "RS256",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
        "ES256",
        "ES384",
        "ES512",
        "EdDSA",
    )
}


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says, which anybody could have written. `claims` count once `verify` returns."""

    algorithm: str
    key_id: str
    claims: dict[str, JsonValue] = field(repr=False)
    _token: str = field(repr=False)

    def verify(self, key: PublicKey) -> None:
        """Return if the signature is the key's. Raises CallerUnproved."""
        try:
            _ONE[self.algorithm].decode(self._token, key.key, algorithms=[self.algorithm])
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise CallerUnproved(
                "the token's signature is not right; get a fresh one from its issuer"
            ) from error


def take_apart(token: str) -> Unverified:
    """Return what a compact JWS says. Raises CallerUnproved, never with the token's text."""
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise _no_token()
    try:
        header, claims = (parse_object(_bytes_of(match[part]), "token") for part in (1, 2))
    except (RequestInvalid, ValueError) as error:
        raise _no_token() from error
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in _ONE or "crit" in header:
        raise CallerUnproved(
            "the token is signed in a way that this server does not take; use RS256, ES256 or EdDSA"
        )
    if not isinstance(key_id, str):
        raise CallerUnproved(
            "the token does not name the key that signed it (kid); have its issuer add that"
        )
    return Unverified(algorithm, key_id, claims, token)


def _bytes_of(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _no_token() -> CallerUnproved:
    return CallerUnproved("the bearer token is no signed JWT; send what its issuer gave, unchanged")
