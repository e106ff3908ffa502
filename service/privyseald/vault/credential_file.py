"""A file in which an operator, or Vault's agent, leaves a token or an id."""

from pathlib import Path

from privyseald.errors import SecretStoreForbidden
from privyseald.signing.secret import SecretBytes

_MAX_BYTES = 8 * 1024


class CredentialFile:
    """Read anew at each login; remembers what it looked like when it was last read."""

    __slots__ = ("_path", "_seen", "_setting")

    def __init__(self, path: Path, setting: str) -> None:
        self._path = path
        self._setting = setting
        self._seen: tuple[int, int, int] | None = None

    def has_changed(self) -> bool:
        """Whether the file is another than the one that was read last."""
        return self._look() != self._seen

    def read(self) -> SecretBytes:
        """Return the file's one line. Raises SecretStoreForbidden naming the setting."""
        self._seen = self._look()
        try:
            with self._path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1).strip()
        except OSError:
            content = b""
        if not content or len(content) > _MAX_BYTES or not all(0x21 <= b <= 0x7E for b in content):
            raise SecretStoreForbidden(
                f"the file of {self._setting} can't be read or does not hold one line of text; "
                "an operator must put it right",
            )
        return SecretBytes(content)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_ino, status.st_mtime_ns, status.st_size)
