"""The key under which the embedded store seals its records."""

import hashlib
import hmac
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from privyseald.config_error import ConfigInvalid
from privyseald.private_file import create_private_file, read_private_file

_KEY_BYTES = 32
_NONCE_BYTES = 12
_MIN_PASSPHRASE = 12
_MAX_SCRYPT_N = 1 << 18
_MAX_SCRYPT_RP = 16


class SealBroken(Exception):
    """The bytes were not sealed under this key with these facts."""


@dataclass(frozen=True, slots=True)
class ScryptSetting:
    """How a passphrase becomes a key (RFC 7914). The defaults take 32 MiB and about 0.2 s."""

    salt: bytes
    n: int = 1 << 15
    r: int = 8
    p: int = 3

    def to_bytes(self) -> bytes:
        """Return what the store keeps in clear."""
        return f"scrypt:{self.n}:{self.r}:{self.p}:{self.salt.hex()}".encode()

    @classmethod
    def from_bytes(cls, kept: bytes) -> "ScryptSetting":
        """Return the setting that `to_bytes` wrote. Raises SealBroken when it is not one."""
        try:
            _, n, r, p, salt = kept.decode().split(":")
            setting = cls(bytes.fromhex(salt), int(n), int(r), int(p))
        except ValueError as error:
            raise SealBroken from error
        if setting.n > _MAX_SCRYPT_N or setting.r > _MAX_SCRYPT_RP or setting.p > _MAX_SCRYPT_RP:
            raise SealBroken
        return setting


class StoreKey:
    """Seals bytes with AES-256-GCM and tags facts with HMAC-SHA256, each under its own key."""

    __slots__ = ("_aead", "_tag_key")

    def __init__(self, master: bytes) -> None:
        self._aead = AESGCM(_expand(master, b"privyseal embedded store 1: records"))
        self._tag_key = _expand(master, b"privyseal embedded store 1: facts")

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        """Return a fresh nonce and the sealed bytes; `bound` must be the same to open them."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, bound)

    def unseal(self, sealed: bytes, bound: bytes) -> bytes:
        """Return what `seal` was given. Raises SealBroken."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
        except (InvalidTag, ValueError) as error:
            raise SealBroken from error

    def tag(self, facts: bytes) -> bytes:
        """Return the tag that proves that we wrote `facts`."""
        return hmac.digest(self._tag_key, facts, hashlib.sha256)


def create_key_file(path: Path) -> None:
    """Write a new key file: 32 random bytes, mode 0600. Raises ConfigInvalid when one exists."""
    create_private_file(path, os.urandom(_KEY_BYTES), "store.key_file")


def key_from_file(path: Path) -> StoreKey:
    """Return the key of a key file. Raises ConfigInvalid."""
    content = read_private_file(path, "store.key_file")
    if len(content) != _KEY_BYTES:
        raise ConfigInvalid(
            f"store.key_file: {path} must hold exactly {_KEY_BYTES} random bytes; "
            f"make one with: head -c {_KEY_BYTES} /dev/urandom > FILE"
        )
    return StoreKey(content)


def key_from_passphrase(path: Path, setting: ScryptSetting) -> StoreKey:
    """Return the key of the passphrase in a file, less a newline at its end.

    Raises ConfigInvalid, and SealBroken when the setting is none.
    """
    passphrase = read_private_file(path, "store.passphrase_file").rstrip(b"\r\n")
    if len(passphrase) < _MIN_PASSPHRASE:
        raise ConfigInvalid(
            f"store.passphrase_file: {path} holds fewer than {_MIN_PASSPHRASE} bytes; "
            "write a longer passphrase"
        )
    try:
        kdf = Scrypt(salt=setting.salt, length=_KEY_BYTES, n=setting.n, r=setting.r, p=setting.p)
    except ValueError as error:
        raise SealBroken from error
    return StoreKey(kdf.derive(passphrase))


def _expand(master: bytes, info: bytes) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=_KEY_BYTES, info=info).derive(master)
