"""One Vault token, kept alive by one task: renewed in time, replaced when it can't be."""

import asyncio
import math
import random
from contextlib import suppress
from typing import Final

import structlog

from privyseald.clock import Clock
from privyseald.errors import PrivysealError, SecretStoreUnreachable, Unavailable
from privyseald.keeper import Keeper
from privyseald.vault.answers import read_login
from privyseald.vault.auth import AuthMethod, VaultToken
from privyseald.vault.backoff import Backoff, RenewalTimes
from privyseald.vault.connection import VaultConnection
from privyseald.vault.errors import VaultRefusal

_SHORTEST_PAUSE_MS = 50
_log = structlog.get_logger(__name__)


class TokenRenewal:
    """Holds the token. A login is made for all who wait for it, and backs off when refused."""

    def __init__(
        self,
        connection: VaultConnection,
        method: AuthMethod,
        clock: Clock,
        times: RenewalTimes | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self._connection: Final = connection
        self._method: Final = method
        self._clock: Final = clock
        self._times: Final = times or RenewalTimes()
        self._keeper: Final = keeper or Keeper(clock)
        self._login = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False
        self._token: VaultToken | None = None
        self._due_ms = 0
        self._failure: PrivysealError | None = None
        self._failures = Backoff(self._times)
        self._replacements = Backoff(self._times)
        self._held_ms = 0
        # For those who watch: tokens renewed, logins, and those that failed.
        self.renewed = self.logged_in = self.failed = 0

    @property
    def life_ms(self) -> float:
        """How long Vault takes the token from now on; 0 without one, infinite where for ever."""
        if self._token is None:
            return 0
        if self._token.life_ms == 0:
            return math.inf
        return max(self._held_ms + self._token.life_ms - self._clock.monotonic_ms(), 0)

    async def token(self) -> VaultToken:
        """Return the token, logging in when there is none yet."""
        if self._is_closed:
            raise SecretStoreUnreachable(
                "the connection to Vault is closed; this server is stopping"
            )
        if self._task is None:
            self._task = self._keeper.keep("vault-token-renewal", self._keep)
        return self._token or await self.replace(None)

    async def replace(self, refused: VaultToken | None) -> VaultToken:
        """Return another token than `refused`: one that came meanwhile, or a new login's.

        Returns `refused` itself when the last such login is so short ago that another would not
        help. While failed logins back off, the last failure is raised again.
        """
        async with self._login:
            if self._token is not None and (refused is None or self._token.text != refused.text):
                return self._token
            now = self._clock.monotonic_ms()
            if refused is not None and self._replacements.wait_ms(now):
                return refused
            token = await self._log_in()
            if refused is not None:
                self._replacements.extend(self._clock.monotonic_ms())
            return token

    async def close(self) -> None:
        """Stop renewing, and revoke the token when it was made for us."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        token, self._token = self._token, None
        if token is not None and self._method.owns_token:
            with suppress(Unavailable, VaultRefusal):
                await self._connection.post("auth/token/revoke-self", token.text, {})

    async def _log_in(self) -> VaultToken:
        wait_ms = self._failures.wait_ms(self._clock.monotonic_ms())
        if self._failure is not None and wait_ms:
            raise type(self._failure)(self._failure.message, retry_after_ms=wait_ms)
        try:
            token = await self._method.log_in(self._connection)
        except PrivysealError as error:
            self._failure = error
            self.failed += 1
            now = self._clock.monotonic_ms()
            self._failures.extend(now)
            self._due_ms = max(self._due_ms, now + self._failures.wait_ms(now))
            _log.warning("vault_login_failed", reason=error.reason)
            raise
        self._failure = None
        self.logged_in += 1
        self._hold(token)
        _log.info("vault_logged_in", life_ms=token.life_ms, renewable=token.renewable)
        return token

    def _hold(self, token: VaultToken) -> None:
        self._token, self._held_ms = token, self._clock.monotonic_ms()
        share = random.uniform(0.6, 0.7)  # noqa: S311  # spreads replicas, guards nothing
        self._due_ms = self._held_ms + int(token.life_ms * share)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._pause_ms() / 1_000)
            with suppress(PrivysealError, VaultRefusal):
                await self._tend()

    def _pause_ms(self) -> int:
        now = self._clock.monotonic_ms()
        if self._token is None:
            return self._failures.wait_ms(now) or self._times.first_backoff_ms
        if self._token.life_ms == 0:
            return self._times.look_ms
        return max(_SHORTEST_PAUSE_MS, min(self._due_ms - now, self._times.look_ms))

    async def _tend(self) -> None:
        token = self._token
        is_due = token is not None and token.life_ms > 0 and self._is_due()
        if is_due and token is not None and token.renewable and not self._method.has_news():
            await self._renew(token)
        elif token is None or is_due or self._method.has_news():
            async with self._login:
                if self._token is token:
                    await self._log_in()

    def _is_due(self) -> bool:
        return self._clock.monotonic_ms() >= self._due_ms

    async def _renew(self, token: VaultToken) -> None:
        """Renew; log in anew when Vault no longer gives the token its full life."""
        renewed = None
        # Past a token's longest life Vault answers 500, so an outage is told by the login only.
        with suppress(VaultRefusal, Unavailable):
            renewed = read_login(
                await self._connection.post("auth/token/renew-self", token.text, {})
            )
        async with self._login:
            if self._token is not token:
                return
            if renewed is not None and renewed.life_ms >= token.life_ms:
                self.renewed += 1
                self._hold(renewed)
            else:
                await self._log_in()
