"""Bearer tokens: from a file that somebody else renews, or from a function."""

import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from privyseal.errors import ConfigurationError, PrivysealError
from privyseal.files import Watched

TokenFunction = Callable[[], str]
AsyncTokenFunction = Callable[[], str | Awaitable[str]]
Metadata = tuple[tuple[str, str], ...]

_TOKEN = re.compile(r"[\x21-\x7e]+")


class _Hidden(str):
    """A text that stays out of tracebacks with local variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "(hidden)"


class TokenFile:
    """The token in a file. One that is gone, or holds no token, leaves the last one in force."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._watched = Watched([self._path])
        self._token = self._read()

    def __call__(self) -> str:
        """Return the token that is in force."""
        if self._watched.changed():
            try:
                self._token = self._read()
            except ConfigurationError:
                return self._token
        return self._token

    def _read(self) -> str:
        try:
            text = self._path.read_bytes().decode("ascii", "replace").strip()
        except OSError as error:
            raise ConfigurationError(
                "token_file",
                f"{self._path}: {os.strerror(error.errno or 0)}; name a file that can be read",
            ) from error
        if _TOKEN.fullmatch(text) is None:
            raise ConfigurationError("token_file", f"{self._path} does not hold one token")
        return _Hidden(text)


def authorization(token: object) -> Metadata:
    """Return the metadata that brings a token. Raises PrivysealError where it is none."""
    # Metadata and not call credentials: those leak memory with each RPC in grpc.aio.
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        raise no_token("it returned something else than one token")
    return (("authorization", _Hidden(f"Bearer {token}")),)


def no_token(why: str) -> PrivysealError:
    """Return the failure of a function that gives no token."""
    return PrivysealError("UNAUTHENTICATED", message=f"the function given as token failed: {why}")
