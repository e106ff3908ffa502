"""Putting keys into Vault's transit engine, so that the secret is nowhere else."""

import os
from dataclasses import replace

import structlog

from privyseald.errors import (
    AlgorithmUnsupported,
    CredentialMalformed,
    FieldInvalid,
    KeyExists,
    Unavailable,
)
from privyseald.key import Algorithm, KeyState
from privyseald.secretstore.custody import NO_SECP256K1, Custody, TransitPlace
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.transit import TransitSigner, open_transit, transit_type
from privyseald.signing.ecdsa_p256 import EcdsaP256Signer
from privyseald.signing.schemes import make_signer, material_field, pkcs8
from privyseald.signing.secret import SecretBytes
from privyseald.signing.signer import Signer
from privyseald.vault.client import VaultClient
from privyseald.vault.errors import RequestRefused, answer_malformed
from privyseald.vault.transit import TransitEngine, exists
from privyseald.vault.wrapping import wrap

_HMAC_BYTES = range(32, 513)
_log = structlog.get_logger(__name__)


class TransitCustody:
    """Decides where new secrets go, takes them in, opens and removes them."""

    def __init__(
        self, client: VaultClient, custody: Custody = Custody.KV, mount: str = "transit"
    ) -> None:
        self._client = client
        self._custody = custody
        self._mount = mount

    def place(self, document: KeyDocument) -> KeyDocument:
        """Return the document with the place of its secret. Raises AlgorithmUnsupported and
        FieldInvalid where it must be the transit engine, which can't hold it.
        """
        if self._custody is Custody.KV:
            return document
        problem = _problem(document)
        if problem is None:
            return replace(document, transit=TransitPlace(self._mount, is_ours=True))
        if self._custody is Custody.TRANSIT_WHERE_POSSIBLE:
            return document
        raise problem

    def place_issued(self, key_id: str, document: KeyDocument) -> KeyDocument:
        """Do as `place`, but keep in KV what the transit engine can't hold: it must not be lost."""
        try:
            return self.place(document)
        except (AlgorithmUnsupported, FieldInvalid) as error:
            _log.warning("transit_can_not_hold_key", key=key_id, advice=error.message)
            return document

    async def prepare(self, document: KeyDocument) -> None:
        """Return when a key such as this reservation's could be taken in."""
        if self.place(document).transit is not None:
            await self._client.transit(self._mount).wrapping_key()

    async def take_in(self, key_id: str, document: KeyDocument) -> TransitSigner:
        """Have the transit engine hold the document's secret, or make one where it has none.

        A secret that is there already is taken for ours when it signs alike; so a lost answer
        does no harm. Raises KeyExists when another key has the name.
        """
        engine, name = self._find(key_id, document.transit)
        if document.material is None:
            return await _make(engine, name, document.algorithm)
        if not await exists(engine, name):
            await _import(engine, name, document.algorithm, document.material)
        local = make_signer(document.algorithm, document.material)
        try:
            signer = await open_transit(engine, name, document.algorithm)
            is_same = await _signs_alike(signer, local)
        except CredentialMalformed as error:
            raise _taken(engine, name) from error
        if not is_same:
            raise _taken(engine, name)
        return signer

    async def open(self, key_id: str, document: KeyDocument) -> TransitSigner:
        """Return the signer of a document whose secret is in a transit engine."""
        engine, name = self._find(key_id, document.transit)
        return await open_transit(engine, name, document.algorithm)

    async def remove(self, key_id: str, document: KeyDocument) -> None:
        """Remove a secret that we put there. A reservation's may be somebody else's."""
        place = document.transit
        if place is not None and place.is_ours and document.state is not KeyState.CREATING:
            engine, name = self._find(key_id, place)
            await engine.delete(name)

    def _find(self, key_id: str, place: TransitPlace | None) -> tuple[TransitEngine, str]:
        place = place or TransitPlace(self._mount)
        return self._client.transit(place.mount), place.name or key_id


async def _import(
    engine: TransitEngine, name: str, algorithm: Algorithm, material: SecretBytes
) -> None:
    key = material.reveal() if algorithm.is_hmac else pkcs8(algorithm, material)
    wrapped = wrap(await engine.wrapping_key(), key)
    try:
        await engine.import_key(name, transit_type(algorithm), wrapped)
    except Unavailable:
        # Also Vault's answer where another import came first.
        if not await exists(engine, name):
            raise
    except RequestRefused:
        raise answer_malformed() from None


async def _signs_alike(signer: TransitSigner, local: Signer) -> bool:
    probe = os.urandom(32)
    signature = await signer.sign(probe)
    if isinstance(local, EcdsaP256Signer):
        # No two ECDSA signatures are alike.
        return local.verifies(probe, signature)
    return signature == await local.sign(probe)


async def _make(engine: TransitEngine, name: str, algorithm: Algorithm) -> TransitSigner:
    if await exists(engine, name):
        raise _taken(engine, name)
    await engine.create(name, transit_type(algorithm))
    return await open_transit(engine, name, algorithm)


def _problem(document: KeyDocument) -> AlgorithmUnsupported | FieldInvalid | None:
    algorithm, material = document.algorithm, document.material
    if algorithm is Algorithm.SECP256K1:
        return AlgorithmUnsupported(
            f"{NO_SECP256K1}: set store.custody to '{Custody.TRANSIT_WHERE_POSSIBLE}'",
            metadata={"algorithm": algorithm.value},
        )
    if algorithm.is_hmac and material is not None and len(material) not in _HMAC_BYTES:
        return FieldInvalid(
            material_field(algorithm),
            f"has {len(material)} bytes, and Vault's transit engine holds HMAC secrets of "
            f"{_HMAC_BYTES.start} to {_HMAC_BYTES.stop - 1}; keep it in KV: set store.custody "
            f"to '{Custody.TRANSIT_WHERE_POSSIBLE}'",
        )
    return None


def _taken(engine: TransitEngine, name: str) -> KeyExists:
    return KeyExists(
        f"the transit engine at '{engine.mount}' has another key of the name '{name}'; choose "
        "another key id, or have an operator delete that key in Vault first",
    )
