"""How a custodian brings a secret: as it is, sealed to this service, or by a wrapping token."""

from dataclasses import dataclass, field

from privyseald.errors import FieldInvalid
from privyseald.key import Algorithm
from privyseald.secretstore.own_opening_key import own_opening_key
from privyseald.secretstore.store import SecretStore
from privyseald.signing.schemes import make_signer, material_field
from privyseald.signing.sealed_box import SealingKey
from privyseald.signing.sealed_secret import open_secret
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Signer

_SEALING_KEY = "sealing"


@dataclass(frozen=True, slots=True)
class Plaintext:
    """The secret as it is."""

    material: SecretBytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sealed:
    """The secret, sealed to the service's public key for one key id and venue."""

    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class WrappingToken:
    """A token of Vault's that holds the secret, and is good for one use."""

    token: SecretBytes = field(repr=False)


Delivery = Plaintext | Sealed | WrappingToken


@dataclass(frozen=True, slots=True)
class Received:
    """A secret that is a key of its algorithm, and what it tells in public."""

    material: SecretBytes = field(repr=False)
    signer: Signer = field(repr=False)


class Receive:
    """Takes deliveries. The private half that opens sealed ones stays in the store."""

    def __init__(self, store: SecretStore) -> None:
        self._store = store

    async def sealing_key(self) -> SealingKey:
        """Return the public half to which custodians seal."""
        return (await own_opening_key(self._store, _SEALING_KEY)).sealing_key

    async def __call__(
        self, delivery: Delivery, key_id: str, venue: str, algorithm: Algorithm
    ) -> Received:
        """Return what was delivered. Raises FieldInvalid naming the form in which it came."""
        match delivery:
            case Plaintext(material):
                name = "plaintext"
            case Sealed(sealed):
                name = "sealed"
                opening_key = await own_opening_key(self._store, _SEALING_KEY)
                material = open_secret(opening_key, sealed, key_id, venue)
            case WrappingToken(token):
                name = "wrapping_token"
                material = await self._store.unwrap(token, material_field(algorithm))
        try:
            return Received(material, make_signer(algorithm, material))
        except FieldInvalid as error:
            raise FieldInvalid(name, error.description) from error
