"""Who calls, decided once, at the edge: by certificate, by bearer token, or by the Unix socket."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from privyseald.caller import Caller
from privyseald.errors import CallerUnproved
from privyseald.rpc.identity import certificate
from privyseald.rpc.identity.bearer import bearer_token
from privyseald.rpc.identity.tokens import Tokens

LOCAL = Caller("local", "loopback")


class Peer(Protocol):
    """What a transport knows of the other end of an RPC."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return what the connection proved, by gRPC's names."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Return the RPC's own metadata."""


class Identity:
    """Names the callers of a server, by the ways to prove oneself that it is open to."""

    def __init__(
        self,
        *,
        plaintext: bool,
        socket_caller: Caller | None = None,
        tokens: Tokens | None = None,
        token_beats_certificate: bool = False,
    ) -> None:
        self._plaintext = plaintext
        self._socket_caller = socket_caller
        self._tokens = tokens
        self._token_beats_certificate = token_beats_certificate

    def caller_of(self, peer: Peer) -> Caller:
        """Return who calls. Raises CallerUnproved."""
        if self._plaintext and self._socket_caller is None:
            return LOCAL
        auth_context = peer.auth_context()
        token = bearer_token(peer.invocation_metadata() or ()) if self._tokens else None
        if self._socket_caller is not None and _is_local(auth_context):
            if token is not None:
                raise CallerUnproved(
                    "a bearer token came over the Unix socket, whose caller the configuration "
                    "names; drop the token, or call over TLS"
                )
            return self._socket_caller
        if self._plaintext:
            return LOCAL
        _check_tls(auth_context)
        shows_certificate = certificate.shows_certificate(auth_context)
        if self._tokens is not None and token is not None:
            if shows_certificate and not self._token_beats_certificate:
                raise CallerUnproved(
                    "a client certificate and a bearer token came together, and either names a "
                    "caller; send one of them, or set server.jwt.with_certificate = 'token'"
                )
            return self._tokens.caller_of(token)
        if shows_certificate:
            return certificate.caller_of(auth_context)
        raise CallerUnproved(
            "neither a client certificate nor a bearer token came; send the metadata "
            "'authorization: Bearer TOKEN'"
        )

    async def settle(self, peer: Peer) -> None:
        """Wait, for a moment, where the issuer's keys are being asked for the token's."""
        if self._tokens is None or not self._tokens.may_wait:
            return
        try:
            token = bearer_token(peer.invocation_metadata() or ())
        except CallerUnproved:
            return
        if token is not None:
            await self._tokens.settle(token)


def _is_local(auth_context: Mapping[str, Iterable[bytes]]) -> bool:
    return list(auth_context.get("transport_security_type", ())) == [b"local"]


def _check_tls(auth_context: Mapping[str, Iterable[bytes]]) -> None:
    """Return if the connection is one by TLS 1.3. gRPC for Python has no switch for the version,
    so it is looked at here.
    """
    if list(auth_context.get("ssl_tls_version", ())) != [b"TLSv1.3"]:
        raise CallerUnproved(
            "the connection uses a TLS older than 1.3; let the client, or the proxy between, use "
            "TLS 1.3"
        )
