"""A wrapper that keeps secret bytes out of repr, logs and pickles."""

import hmac
from typing import NoReturn


class SecretBytes:
    """Bytes that show themselves to nobody who does not ask for them by name."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes | bytearray | str) -> None:
        self._value = bytearray(value.encode() if isinstance(value, str) else value)

    def reveal(self) -> bytes:
        """Return the bytes. Each call of this is a place to review."""
        return bytes(self._value)

    def wipe(self) -> None:
        """Overwrite the buffer; copies that others made are beyond our reach."""
        for index in range(len(self._value)):
            self._value[index] = 0

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretBytes) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a secret is no dictionary key

    def __repr__(self) -> str:
        return "SecretBytes(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret can't be pickled")
