"""What the stores ask of Vault's transit engine: to sign, and to take a key in."""

import base64
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from privyseald.vault.answers import read_text
from privyseald.vault.errors import PathMissing, RequestRefused, answer_malformed
from privyseald.vault.session import VaultSession

_TAGGED = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]{16,}={0,2})")
_TAGGED_JWS = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9_-]{16,})")


@dataclass(frozen=True, slots=True)
class TransitKey:
    """A key as the engine describes it. `public_key` is Ed25519's 32 bytes, or a compressed
    point (SEC 1) on P-256; empty for a shared secret and for other kinds of key.
    """

    type: str
    is_derived: bool
    version: int
    public_key: bytes = b""


class TransitEngine:
    """One mount. Every method may raise the failures of `SecretStore`; those that name a key
    raise RequestRefused or PathMissing where it is not there or of another type.
    """

    def __init__(self, session: VaultSession, mount: str) -> None:
        self._session = session
        self.mount = mount

    async def describe(self, name: str) -> TransitKey:
        """Return what everyone may know of a key. Raises PathMissing."""
        return _read_key(await self._get(f"keys/{name}", "keys/*"))

    async def hmac(self, name: str, hash_name: str, message: bytes) -> tuple[int, bytes]:
        """Return the version of the key that was used, and the MAC."""
        path = f"hmac/{name}/{hash_name}"
        return _read_tagged(await self._compute(path, "hmac/*", message), "hmac")

    async def sign(self, name: str, message: bytes) -> tuple[int, bytes]:
        """Return the version of the key that was used, and the signature."""
        return _read_tagged(await self._compute(f"sign/{name}", "sign/*", message), "signature")

    async def sign_ecdsa(self, name: str, hash_name: str, message: bytes) -> tuple[int, bytes]:
        """Return the version of the key that was used, and r and s at their full width."""
        form = {"hash_algorithm": hash_name, "marshaling_algorithm": "jws"}
        return _read_tagged_jws(await self._compute(f"sign/{name}", "sign/*", message, form))

    async def wrapping_key(self) -> str:
        """Return the public key, as PEM, for which a key is wrapped that is to be imported."""
        return read_text(await self._get("wrapping_key", "wrapping_key"), "public_key")

    async def create(self, name: str, key_type: str) -> None:
        """Make a key there; does nothing where one of this name is."""
        await self._post(f"keys/{name}", "create and update", "keys/*", {"type": key_type})

    async def import_key(self, name: str, key_type: str, wrapped: str) -> None:
        """Take in a key that `wrap` wrapped. Vault answers 500 where one of this name is."""
        body = {"ciphertext": wrapped, "type": key_type, "hash_function": "SHA256"}
        await self._post(f"keys/{name}/import", "update", "keys/+/import", body)

    async def delete(self, name: str) -> None:
        """Remove a key for good; none there is as good."""
        with suppress(RequestRefused):
            body = {"deletion_allowed": True}
            await self._post(f"keys/{name}/config", "update", "keys/+/config", body)
            full = f"{self.mount}/keys/{name}"
            await self._session.run(
                "delete",
                f"{self.mount}/keys/*",
                lambda token: self._session.connection.delete(full, token),
            )

    async def _get(self, path: str, pattern: str) -> Mapping[str, object]:
        full = f"{self.mount}/{path}"
        return await self._session.run(
            "read",
            f"{self.mount}/{pattern}",
            lambda token: self._session.connection.get(full, token),
        )

    async def _post(
        self, path: str, capability: str, pattern: str, body: Mapping[str, object]
    ) -> None:
        full = f"{self.mount}/{path}"
        await self._session.run(
            capability,
            f"{self.mount}/{pattern}",
            lambda token: self._session.connection.post(full, token, body),
        )

    async def _compute(
        self, path: str, pattern: str, message: bytes, form: Mapping[str, str] | None = None
    ) -> Mapping[str, object]:
        full = f"{self.mount}/{path}"
        body = {"input": base64.b64encode(message).decode(), **(form or {})}
        return await self._session.run(
            "update",
            f"{self.mount}/{pattern}",
            lambda token: self._session.connection.compute(full, token, body),
        )


async def exists(engine: TransitEngine, name: str) -> bool:
    """Whether the engine holds a key of this name."""
    try:
        await engine.describe(name)
    except PathMissing:
        return False
    return True


def _read_key(answer: Mapping[str, object]) -> TransitKey:
    match answer:
        case {
            "data": {
                "type": str(key_type),
                "derived": bool(derived),
                "latest_version": int(version),
                **rest,
            }
        }:
            raw = b""
            if key_type == "ed25519":
                raw = _decode(_public_key(rest.get("keys"), version))
            elif key_type == "ecdsa-p256":
                raw = _point(_public_key(rest.get("keys"), version))
            return TransitKey(key_type, derived, version, raw)
    raise answer_malformed()


def _public_key(versions: object, version: int) -> str:
    match versions:
        case dict():
            match versions.get(str(version)):
                case {"public_key": str(text)}:
                    return text
    raise answer_malformed()


def _point(pem: str) -> bytes:
    try:
        loaded = load_pem_public_key(pem.encode())
        if isinstance(loaded, ec.EllipticCurvePublicKey) and isinstance(loaded.curve, ec.SECP256R1):
            return loaded.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    except (ValueError, UnsupportedAlgorithm):
        pass
    raise answer_malformed()


def _read_tagged(answer: Mapping[str, object], name: str) -> tuple[int, bytes]:
    match = _TAGGED.fullmatch(read_text(answer, name))
    if match is None:
        raise answer_malformed()
    return int(match[1]), _decode(match[2])


def _read_tagged_jws(answer: Mapping[str, object]) -> tuple[int, bytes]:
    match = _TAGGED_JWS.fullmatch(read_text(answer, "signature"))
    if match is None:
        raise answer_malformed()
    padding = "=" * (-len(match[2]) % 4)
    return int(match[1]), _decode(match[2].replace("-", "+").replace("_", "/") + padding)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        pass
    raise answer_malformed()
