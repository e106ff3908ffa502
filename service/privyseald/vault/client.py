"""What the stores ask of Vault: KV v2, as whoever the token proves."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

from privyseald.calls import Calls
from privyseald.clock import Clock
from privyseald.errors import SecretStoreForbidden
from privyseald.keeper import Keeper
from privyseald.signing.secret import SecretBytes
from privyseald.vault.answers import (
    SecretMetadata,
    SecretVersion,
    read_is_kv2,
    read_may_read,
    read_metadata,
    read_names,
    read_version,
    read_written,
)
from privyseald.vault.auth import AuthMethod
from privyseald.vault.backoff import RenewalTimes
from privyseald.vault.connection import VaultAddress, VaultConnection
from privyseald.vault.errors import PathMissing, RequestRefused, answer_malformed, denied
from privyseald.vault.renewal import TokenRenewal
from privyseald.vault.response_wrapping import unwrap
from privyseald.vault.session import VaultSession
from privyseald.vault.transit import TransitEngine

_T = TypeVar("_T")


class VaultClient:
    """Reads and writes KV v2 secrets, and knows the transit engines beside them.

    Every method may raise the failures of `SecretStore`, and PathMissing or VersionMismatch
    where it says so.
    """

    def __init__(self, connection: VaultConnection, tokens: TokenRenewal) -> None:
        self._connection = connection
        self.tokens = tokens
        self._session = VaultSession(connection, tokens)

    @classmethod
    def connect(
        cls,
        address: VaultAddress,
        method: AuthMethod,
        clock: Clock,
        times: RenewalTimes | None = None,
        calls: Calls | None = None,
        keeper: Keeper | None = None,
    ) -> "VaultClient":
        """Return a client; it logs in when it is used first. `calls` hears of each request.

        `keeper` keeps the token's renewal going.
        """
        connection = VaultConnection(address, calls)
        return cls(connection, TokenRenewal(connection, method, clock, times, keeper))

    async def read(self, mount: str, path: str, version: int = 0) -> SecretVersion:
        """Return a version, or the current one, secret and all. Raises PathMissing."""
        full = f"{mount}/data/{path}"
        asked = f"{full}?version={version}" if version else full
        return read_version(
            await self._as_us(
                "read", _pattern(full), lambda token: self._connection.get(asked, token)
            )
        )

    async def read_metadata(self, mount: str, path: str) -> SecretMetadata:
        """Return what stands beside the secret. Raises PathMissing."""
        full = f"{mount}/metadata/{path}"
        return read_metadata(
            await self._as_us(
                "read", _pattern(full), lambda token: self._connection.get(full, token)
            )
        )

    async def check_may_read(self, mount: str, path: str) -> None:
        """Return when our token may read a secret, without reading it."""
        full = f"{mount}/data/{path}"
        where = "sys/capabilities-self"
        body = {"paths": [full]}
        answer = await self._as_us(
            "update", where, lambda token: self._connection.compute(where, token, body)
        )
        if not read_may_read(answer, full):
            raise denied("read", _pattern(full))

    async def list(self, mount: str, folder: str) -> list[str]:
        """Return the names in a folder, none when there is no such folder."""
        full = f"{mount}/metadata/{folder}"
        try:
            return read_names(
                await self._as_us("list", full, lambda token: self._connection.list(full, token))
            )
        except PathMissing:
            return []

    async def write(
        self, mount: str, path: str, data: Mapping[str, str], version: int
    ) -> tuple[int, int]:
        """Write the version after `version` (0: none may be there); return it and its time.

        Raises VersionMismatch.
        """
        full = f"{mount}/data/{path}"
        body = {"options": {"cas": version}, "data": dict(data)}
        capability = "update" if version else "create"
        return read_written(
            await self._as_us(
                capability, _pattern(full), lambda token: self._connection.post(full, token, body)
            )
        )

    async def write_custom_metadata(
        self, mount: str, path: str, custom_metadata: Mapping[str, str]
    ) -> None:
        """Replace the custom metadata, leaving the path's other settings as they are."""
        full = f"{mount}/metadata/{path}"
        # Not by hvac's update_metadata: that also resets delete_version_after.
        body = {"custom_metadata": dict(custom_metadata)}
        await self._as_us(
            "create and update",
            _pattern(full),
            lambda token: self._connection.post(full, token, body),
        )

    async def delete(self, mount: str, path: str) -> None:
        """Remove a path with all its versions, for good."""
        full = f"{mount}/metadata/{path}"
        await self._as_us(
            "delete", _pattern(full), lambda token: self._connection.delete(full, token)
        )

    async def destroy(self, mount: str, path: str, versions: Iterable[int]) -> None:
        """Overwrite versions for good; those that are gone do no harm."""
        full = f"{mount}/destroy/{path}"
        body = {"versions": list(versions)}
        await self._as_us(
            "update", _pattern(full), lambda token: self._connection.post(full, token, body)
        )

    async def unwrap(self, token: SecretBytes, name: str) -> SecretBytes:
        """Return a field of what a response-wrapping token holds, and spend it."""
        return await unwrap(self._connection, token, name)

    async def check(self, mount: str) -> None:
        """Return when Vault is unsealed, takes our token, and the mount is KV v2."""
        full = f"sys/internal/ui/mounts/{mount}"
        pattern = f"{mount}/data/*"
        answer = await self._as_us("read", pattern, lambda token: self._connection.get(full, token))
        if not read_is_kv2(answer):
            raise SecretStoreForbidden(
                "the mount of store.url is no KV engine of version 2; an operator must enable one "
                "there, or correct store.url",
            )

    def transit(self, mount: str) -> TransitEngine:
        """Return the transit engine at a mount, asked as ourselves."""
        return TransitEngine(self._session, mount)

    async def close(self) -> None:
        """Revoke the token if it is ours, and drop the connections."""
        await self._session.close()

    async def _as_us(
        self,
        capability: str,
        pattern: str,
        request: Callable[[SecretBytes], Awaitable[_T]],
    ) -> _T:
        with suppress(RequestRefused):
            return await self._session.run(capability, pattern, request)
        raise answer_malformed()


def _pattern(path: str) -> str:
    """Return what a policy should name: a star stands for the key's id."""
    return path.rpartition("/")[0] + "/*"
