"""An issuer of bearer tokens, its keys, and a server that takes them."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from service import POLICY

NAME = "https://issuer.desk.test"
AUDIENCE = "privyseal"
MAKER = "jwt:desk/maker"
RULE = f"""\
  - name: maker
    callers: ["{MAKER}", "unix:maker"]
    keys: ["nx"]
    accept_bearer: true
    allow: [sign, sign-unlisted, login]
"""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class Issuer:
    """Signs tokens with the keys that it publishes, and with others where a test asks for it."""

    def __init__(self, name: str = NAME) -> None:
        self.name = name
        self.keys: dict[str, PrivateKey] = {"first": ec.generate_private_key(ec.SECP256R1())}

    @property
    def key_set(self) -> bytes:
        """The JWKS."""
        return orjson.dumps({"keys": [jwk(key_id, key) for key_id, key in self.keys.items()]})

    def publish(self, folder: Path) -> Path:
        """Write the JWKS to a file, and return it."""
        file = folder / "jwks.json"
        file.write_bytes(self.key_set)
        return file

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return claims that are good for a minute, and what a test changes; None leaves out."""
        now = int(time.time())
        claims = {
            "iss": self.name,
            "aud": AUDIENCE,
            "sub": "maker",
            "iat": now,
            "exp": now + 60,
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, key_id: str = "first", **changed: Any) -> str:
        """Return a token signed with a key of ours."""
        key = self.keys[key_id]
        return jwt.encode(self.claims(**changed), key, algorithm_of(key), headers={"kid": key_id})

    def config(self, **settings: Any) -> dict[str, Any]:
        """Return the section of this issuer."""
        return {"issuer": self.name, "audience": AUDIENCE, **settings}


def algorithm_of(key: PrivateKey) -> str:
    """Return what a key signs with."""
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    return "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "EdDSA"


def jwk(key_id: str, key: PrivateKey, **changed: Any) -> dict[str, Any]:
    """Return the public half as a JSON Web Key."""
    public: Any = key.public_key()
    kind: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm}.get(algorithm_of(key), OKPAlgorithm)
    return {**kind.to_jwk(public, as_dict=True), "kid": key_id, "use": "sig", **changed}


def public_pem(key: PrivateKey) -> bytes:
    """Return the public half as PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"\0") -> str:
    """Return a token of any parts, as somebody without a key would put it together."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata of an RPC with a token."""
    return (("authorization", f"Bearer {token}"),)


def policy() -> bytes:
    """Return a policy under which the maker may sign with `nx`, and nobody else new."""
    return (POLICY + RULE).encode()


def jwt_section(folder: Path, issuer: Issuer, **settings: Any) -> dict[str, Any]:
    """Return `server.jwt` with one issuer, `desk`, whose keys are in a file; other settings may
    be the issuer's or the section's own.
    """
    own = ("listen", "with_certificate", "leeway_ms", "max_lifetime_ms", "max_token_bytes")
    section = {name: settings.pop(name) for name in own if name in settings}
    if not {"jwks_url", "jwks_file"} & settings.keys():
        settings["jwks_file"] = issuer.publish(folder)
    return {"leeway_ms": 0, **section, "issuers": {"desk": issuer.config(**settings)}}
