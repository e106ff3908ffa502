"""A signer whose secret never comes here: Vault's transit engine signs, once a message."""

import base64

from privyseald.errors import CredentialMalformed, SecretStoreUnreachable
from privyseald.key import Algorithm
from privyseald.secretstore.refusals import document_malformed
from privyseald.signing.pem import public_key_pem
from privyseald.vault.errors import PathMissing, RequestRefused, answer_malformed
from privyseald.vault.transit import TransitEngine, TransitKey

_RETRY_MS = 5_000
_HASHES = {
    Algorithm.HMAC_SHA256: "sha2-256",
    Algorithm.HMAC_SHA512: "sha2-512",
    Algorithm.ECDSA_P256: "sha2-256",
}
_LENGTHS = {
    Algorithm.HMAC_SHA256: 32,
    Algorithm.HMAC_SHA512: 64,
    Algorithm.ED25519: 64,
    Algorithm.ECDSA_P256: 64,
}
_PUBLIC_KEY_LENGTHS = {Algorithm.ED25519: 32, Algorithm.ECDSA_P256: 33}


class TransitSigner:
    """Signs with the newest version that Vault has. It holds names and a public key, no secret.

    While Vault is away it can't sign: there is nothing here to sign with.
    """

    __slots__ = ("_engine", "_name", "_version", "algorithm", "public_id", "public_key_pem")

    def __init__(
        self, engine: TransitEngine, name: str, algorithm: Algorithm, key: TransitKey
    ) -> None:
        self._engine = engine
        self._name = name
        self.algorithm = algorithm
        self._learn(key)

    def _learn(self, key: TransitKey) -> None:
        self._version = key.version
        self.public_id = base64.b64encode(key.public_key).decode()
        self.public_key_pem = _pem(self.algorithm, key.public_key)

    async def sign(self, message: bytes) -> bytes:
        """Return the MAC or the signature. Raises what a store raises, CredentialMalformed too."""
        known = self._version
        try:
            version, signature = await self._ask(message)
            if version > self._version:
                # It was rotated: the public half is to be the one that this signature is of.
                self._learn(await self._engine.describe(self._name))
        except (RequestRefused, PathMissing):
            raise _missing(self._engine, self._name, self.algorithm) from None
        if version < known:
            raise SecretStoreUnreachable(
                "Vault's transit engine signs with an older version of the key than it had; "
                "an operator must see whether it was restored from an old copy",
                retry_after_ms=_RETRY_MS,
            )
        if len(signature) != _LENGTHS[self.algorithm]:
            raise answer_malformed()
        return signature

    async def _ask(self, message: bytes) -> tuple[int, bytes]:
        if self.algorithm.is_hmac:
            return await self._engine.hmac(self._name, _HASHES[self.algorithm], message)
        if self.algorithm is Algorithm.ECDSA_P256:
            return await self._engine.sign_ecdsa(self._name, _HASHES[self.algorithm], message)
        return await self._engine.sign(self._name, message)

    def __repr__(self) -> str:
        return f"TransitSigner({self.algorithm})"


def transit_type(algorithm: Algorithm) -> str:
    """Return what the transit engine calls keys of this algorithm."""
    return "hmac" if algorithm.is_hmac else algorithm.value


async def open_transit(engine: TransitEngine, name: str, algorithm: Algorithm) -> TransitSigner:
    """Return the signer of a transit key. Raises CredentialMalformed where it does not fit."""
    try:
        key = await engine.describe(name)
    except PathMissing:
        raise _missing(engine, name, algorithm) from None
    # Any transit key computes some HMAC, with a secret of its own that no venue knows.
    if key.type != transit_type(algorithm) or key.is_derived:
        raise document_malformed(
            "transit_key",
            f"names a transit key that is not of type {transit_type(algorithm)}, or is derived",
        )
    if len(key.public_key) != _PUBLIC_KEY_LENGTHS.get(algorithm, 0):
        raise answer_malformed()
    return TransitSigner(engine, name, algorithm, key)


def _pem(algorithm: Algorithm, raw: bytes) -> str:
    return public_key_pem(algorithm, raw) if raw else ""


def _missing(engine: TransitEngine, name: str, algorithm: Algorithm) -> CredentialMalformed:
    return document_malformed(
        "transit_key",
        f"names '{name}', with which the transit engine at '{engine.mount}' does not sign "
        f"{algorithm}: it was deleted there, or is another kind of key",
    )
