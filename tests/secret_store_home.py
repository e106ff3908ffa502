"""A secret store under contract, together with the hand of its operator."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from bao import MOUNT, TRANSIT, BaoServer
from privyseald.clock import SystemClock
from privyseald.key import Algorithm, KeyState
from privyseald.secretstore.custody import Custody
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.embedded import EmbeddedStore
from privyseald.secretstore.store import SecretStore
from privyseald.secretstore.store_key import create_key_file
from privyseald.secretstore.transit_custody import TransitCustody
from privyseald.secretstore.vault import VaultStore
from privyseald.signing.secret import SecretBytes
from privyseald.vault.client import VaultClient
from privyseald.vault.connection import VaultAddress
from privyseald.vault.token_file import TokenFile

CANARY = "canary-a94f0b7e51c3-2d68c07b9e14"
OTHER = "another-secret-as-long-as-transit-asks"
HAND_WRITTEN = {
    "venue": "whitebit",
    "algorithm": "hmac-sha512",
    "api_key": "public-key-1",
    "api_secret": CANARY,
}


class Home(Protocol):
    """A store and a second way in, as an operator has it."""

    store: SecretStore

    async def write_by_hand(self, key_id: str, record: Mapping[str, object]) -> None:
        """Put a document there, past the store."""


class EmbeddedHome:
    """A file in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        create_key_file(folder / "store.key")
        self._store = EmbeddedStore.open_path(
            folder / "store.db", key_file=folder / "store.key", clock=SystemClock()
        )
        self.store: SecretStore = self._store

    async def write_by_hand(self, key_id: str, record: Mapping[str, object]) -> None:
        """Seal the document as the store would: nobody can write one by hand here."""
        seal = self._store._seal
        row = seal.write(key_id, hmac_document(), 1, 1, 1)
        row = seal._sealed(
            replace(row, state=str(record.get("state", "ENABLED"))), json.dumps(record).encode()
        )
        self._store._file.insert(row)


class VaultHome:
    """A prefix of its own on a real server."""

    def __init__(
        self, bao: BaoServer, prefix: str, folder: Path, custody: Custody = Custody.KV
    ) -> None:
        self._bao = bao
        self._prefix = prefix
        token = bao.token(store_policy(prefix) + transit_policy())
        self.store: SecretStore = store_with(bao.url, token, prefix, folder, custody)

    async def write_by_hand(self, key_id: str, record: Mapping[str, object]) -> None:
        """Do what `vault kv put` does."""
        await asyncio.to_thread(
            self._bao.write, f"{MOUNT}/data/{self._prefix}/{key_id}", data=dict(record)
        )


def store_with(
    url: str, token: str, prefix: str, folder: Path, custody: Custody = Custody.KV
) -> VaultStore:
    """Return a store with a token of its own."""
    (folder / "own-token").write_text(token)
    client = VaultClient.connect(VaultAddress(url), TokenFile(folder / "own-token"), SystemClock())
    return VaultStore(
        client,
        mount=MOUNT,
        prefix=prefix,
        clock=SystemClock(),
        custody=TransitCustody(client, custody, TRANSIT),
    )


def store_policy(prefix: str) -> str:
    """Return the least that the store needs to do all that it can."""
    return f"""
path "{MOUNT}/data/{prefix}/*" {{ capabilities = ["read", "create", "update"] }}
path "{MOUNT}/destroy/{prefix}/*" {{ capabilities = ["update"] }}
path "{MOUNT}/metadata/{prefix}/*" {{ capabilities = ["read", "create", "update", "delete"] }}
path "{MOUNT}/metadata/{prefix}" {{ capabilities = ["list"] }}
"""


def transit_policy() -> str:
    """Return the least that the store needs to put keys into the transit engine, and to sign."""
    return f"""
path "{TRANSIT}/hmac/*" {{ capabilities = ["update"] }}
path "{TRANSIT}/sign/*" {{ capabilities = ["update"] }}
path "{TRANSIT}/keys/*" {{ capabilities = ["read", "create", "update", "delete"] }}
path "{TRANSIT}/wrapping_key" {{ capabilities = ["read"] }}
"""


def hmac_document(
    secret: str = CANARY, *, state: KeyState = KeyState.ENABLED, request_id: str = ""
) -> KeyDocument:
    """Return the document of an HMAC key."""
    return KeyDocument(
        venue="whitebit",
        environment="production",
        algorithm=Algorithm.HMAC_SHA512,
        fields={"api_key": "public-key-1", "user_id": "7"},
        material=SecretBytes(secret),
        labels={"desk": "alpha", "note": ""},
        state=state,
        request_id=request_id,
    )


def reservation(request_id: str = "request-1") -> KeyDocument:
    """Return a document that keeps a place for a key."""
    return replace(
        hmac_document(),
        fields={},
        material=None,
        state=KeyState.CREATING,
        request_id=request_id,
    )
