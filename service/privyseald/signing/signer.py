"""The port through which a secret is used: a `Signer` signs, and shows nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from privyseald.key import Algorithm, Key


class Signer(Protocol):
    """Uses one secret. Only a secret store makes one.

    `sign` is a coroutine because the secret may live elsewhere, in Vault's transit engine
    for one; a venue does not notice the difference.
    """

    @property
    def algorithm(self) -> Algorithm:
        """What `sign` computes."""

    @property
    def public_id(self) -> str:
        """The address of a secp256k1 key; empty where the secret tells no public id."""

    @property
    def public_key_pem(self) -> str:
        """The public half as PEM (SubjectPublicKeyInfo); empty for a shared secret."""

    async def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`.

        HMAC: the raw MAC. Ed25519: the 64 bytes of RFC 8032. ECDSA on P-256: r and s, 32 bytes
        each, and others each time. secp256k1: `message` is the 32-byte digest that `eip191` or
        `eip712` made; the answer is r, s and v (27 or 28).
        """


@dataclass(frozen=True, slots=True)
class Credential:
    """A key opened for use: its facts, its public fields (`api_key`, `user_id`…), its signer.

    `revision` is the store's own mark: as long as it stands, opening the key gives the same.
    """

    key: Key
    fields: Mapping[str, str]
    signer: Signer = field(repr=False)
    revision: str = ""
    previous: "Predecessor | None" = None


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The version before: until when it may sign, and what signs, as long as that is there."""

    until_ms: int
    credential: Credential | None = None
