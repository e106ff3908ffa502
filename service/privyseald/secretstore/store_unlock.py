"""Opening the embedded store's seal: by a key file, or by a passphrase."""

import os
from pathlib import Path

from privyseald.config_error import ConfigInvalid
from privyseald.secretstore.record_file import RecordFile
from privyseald.secretstore.store_key import (
    ScryptSetting,
    SealBroken,
    StoreKey,
    key_from_file,
    key_from_passphrase,
)

_CHECK = b"privyseal"
_KEY_FILE = b"key file"


def unlock(
    file: RecordFile, path: Path, key_file: Path | None, passphrase_file: Path | None
) -> StoreKey:
    """Return the store's key, checked against the record that a new store gets.

    Raises ConfigInvalid.
    """
    kdf = file.setting("kdf")
    if kdf is not None and (kdf == _KEY_FILE) != (key_file is not None):
        wanted = "store.key_file" if kdf == _KEY_FILE else "store.passphrase_file"
        raise ConfigInvalid(f"{wanted}: {path} was made with one; give that file")
    try:
        key, setting = _derive(kdf, key_file, passphrase_file)
        sealed = file.setting("check")
        if sealed is None:
            file.put_settings(kdf=setting, check=key.seal(_CHECK, setting))
        else:
            key.unseal(sealed, setting)
    except SealBroken as error:
        raise ConfigInvalid(
            f"store.key_file, store.passphrase_file: {key_file or passphrase_file} is not what "
            f"{path} was made with; give the file that it was made with"
        ) from error
    return key


def _derive(
    kdf: bytes | None, key_file: Path | None, passphrase_file: Path | None
) -> tuple[StoreKey, bytes]:
    """Return the key, and how it came about as the store writes it down."""
    if passphrase_file is None:
        assert key_file is not None  # noqa: S101  # open_path saw to it
        return key_from_file(key_file), _KEY_FILE
    scrypt = ScryptSetting(os.urandom(16)) if kdf is None else ScryptSetting.from_bytes(kdf)
    return key_from_passphrase(passphrase_file, scrypt), scrypt.to_bytes()
