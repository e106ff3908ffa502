"""The connection to Vault: one HTTP session, a few threads, and the addresses it may go to."""

import asyncio
import ipaddress
import random
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from hvac.adapters import RawAdapter
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidURL, RequestException, Timeout
from urllib3.util.retry import Retry

from privyseald.calls import Calls
from privyseald.config_error import ConfigInvalid
from privyseald.errors import SecretStoreUnreachable
from privyseald.signing.secret import SecretBytes
from privyseald.vault.errors import Failure, answer_malformed, refusal, translate
from privyseald.vault.operations import operation_of

_THREADS = 8
_POOL = 32
_OK = 200
_NO_CONTENT = 204
_ONCE = ("post", "delete")
_RETRY_STATUSES = (412, 429, 500, 502, 503)

Answer = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class VaultAddress:
    """Where Vault is. Plain HTTP is refused unless Vault is on this machine."""

    url: str
    namespace: str = ""
    ca_file: Path | None = None
    timeout_ms: int = 2_000

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ConfigInvalid(
                "vault.address: must be an address such as https://vault.example.com:8200"
            )
        if parts.username or parts.password:
            raise ConfigInvalid("vault.address: must not hold a user name or password")
        if not _is_safe(self.url):
            raise ConfigInvalid(
                "vault.address: http:// is for a Vault on this machine only; use https://"
            )
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ConfigInvalid(f"vault.ca_file: {self.ca_file} is no file; give a PEM file")
        if not 0 < self.timeout_ms <= 60_000:
            raise ConfigInvalid("vault.timeout_ms: must be from 1 to 60000")


class VaultConnection:
    """Sends requests off the event loop. It knows no token but the one that a call brings."""

    def __init__(self, address: VaultAddress, calls: Calls | None = None) -> None:
        self._address = address
        self._calls = calls
        self._session = _session(address)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="privyseal-vault")
        self._closed = False

    async def get(self, path: str, token: SecretBytes | None) -> Answer:
        """Read; repeated once when the connection broke, and on a few passing statuses."""
        return await self._run("get", path, token, None)

    async def list(self, path: str, token: SecretBytes | None) -> Answer:
        """List, as a GET that proxies let through."""
        return await self._run("list", path, token, None)

    async def post(self, path: str, token: SecretBytes | None, body: Answer) -> Answer:
        """Write; never repeated."""
        return await self._run("post", path, token, body)

    async def compute(self, path: str, token: SecretBytes | None, body: Answer) -> Answer:
        """Send a POST that changes nothing; repeated once when the connection broke."""
        return await self._run("compute", path, token, body)

    async def delete(self, path: str, token: SecretBytes | None) -> Answer:
        """Delete; never repeated."""
        return await self._run("delete", path, token, None)

    def present(self, tls: ssl.SSLContext) -> None:
        """Use this TLS, and the certificate in it, from the next request on.

        What is under way ends on the connections that it has.
        """
        self._session = _session(self._address, tls)

    async def close(self) -> None:
        """Drop the connections after the work in progress."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._threads.shutdown)
            self._session.close()

    async def _run(
        self, verb: str, path: str, token: SecretBytes | None, body: Answer | None
    ) -> Answer:
        if self._closed:
            raise SecretStoreUnreachable(
                "the connection to Vault is closed; this server is stopping"
            )
        if self._calls is None:
            return await self._answer(verb, path, token, body)
        with self._calls.call(operation_of(verb, path)):
            return await self._answer(verb, path, token, body)

    async def _answer(
        self, verb: str, path: str, token: SecretBytes | None, body: Answer | None
    ) -> Answer:
        outcome = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._send, verb, path, token, body
        )
        # Raised here, outside of any `except`, so that hvac's failure is not chained to ours.
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _send(
        self,
        verb: str,
        path: str,
        token: SecretBytes | None,
        body: Answer | None,
        *,
        is_repeat: bool = False,
    ) -> Answer | Failure:
        # An adapter for each call: hvac keeps the token in it, and ours changes. It is not left
        # to raise: it has no names for 405, 412, 472, 473 and 504, and chokes on odd bodies.
        adapter = RawAdapter(
            base_uri=self._address.url,
            token=token.reveal().decode() if token else None,
            timeout=self._address.timeout_ms / 1_000,  # type: ignore[arg-type]  # requests' type
            session=self._session,
            namespace=self._address.namespace or None,
            strict_http=True,
        )
        try:
            method = "post" if verb == "compute" else verb
            response = adapter.request(method, f"/v1/{path}", raise_exception=False, json=body)
        except RequestException as error:
            if is_repeat or verb in _ONCE or isinstance(error, Timeout):
                return translate(error)
            return self._send(verb, path, token, body, is_repeat=True)
        return _read(response)

    def __repr__(self) -> str:
        return f"VaultConnection({self._address.url})"


class _Session(requests.Session):
    """Follows redirects, as standbys send them, but carries no token over plain HTTP."""

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        if not _is_safe(prepared_request.url or ""):
            raise InvalidURL("redirected to plain HTTP")
        super().rebuild_auth(prepared_request, response)  # type: ignore[no-untyped-call]


class _TlsAdapter(HTTPAdapter):
    """Makes connections with the TLS that it is given; the environment's where that is None."""

    def __init__(self, tls: ssl.SSLContext | None, retry: Retry) -> None:
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=_POOL, max_retries=retry)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: Any
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._tls, **options)


class _JitteredRetry(Retry):
    """A few short waits, each a little different, so that replicas do not march in step."""

    def get_backoff_time(self) -> float:
        return super().get_backoff_time() * random.uniform(0.5, 1.0)  # noqa: S311  # no secret


def _read(response: requests.Response) -> Answer | Failure:
    """Return the answer of a response, or the failure that it tells."""
    if response.status_code == _NO_CONTENT:
        return {}
    if response.status_code != _OK:
        return refusal(response.status_code, response.text)
    try:
        answer = response.json()
    except ValueError:
        return answer_malformed()
    return answer if isinstance(answer, dict) else answer_malformed()


def _session(address: VaultAddress, tls: ssl.SSLContext | None = None) -> requests.Session:
    retry = _JitteredRetry(
        total=None,
        connect=0,
        read=False,
        redirect=0,
        other=0,
        status=2,
        status_forcelist=_RETRY_STATUSES,
        allowed_methods={"GET"},
        backoff_factor=0.1,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    session = _Session()
    session.trust_env = False
    session.verify = str(address.ca_file) if address.ca_file else True
    adapter = _TlsAdapter(tls, retry)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _is_safe(url: str) -> bool:
    """Whether a token may go there: TLS, or this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
