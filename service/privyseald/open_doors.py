"""Makes what a server listens with, and what names its callers, as the configuration says."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from privyseald.caller import Caller
from privyseald.clock import Clock
from privyseald.config import ServerConfig
from privyseald.identity_config import UnixSocketConfig
from privyseald.keeper import Keeper
from privyseald.open_tokens import open_tokens
from privyseald.rpc.identity.identity import Identity
from privyseald.rpc.identity.tokens import Tokens
from privyseald.rpc.identity.unix_socket import METHOD, UnixSocket
from privyseald.rpc.server import Doors
from privyseald.tls_files import TlsFiles


@dataclass(frozen=True, slots=True)
class Edge:
    """Where callers come in, who they are, and the files that prove the server to them."""

    doors: Doors
    identity: Identity
    tls_files: TlsFiles | None
    tokens: Tokens | None


def open_doors(server: ServerConfig, clock: Clock, keeper: Keeper, opened: AsyncExitStack) -> Edge:
    """Return it, with files and keys watched until the stack is closed. Raises ConfigInvalid."""
    tls_files = TlsFiles.open(server.tls, clock)
    tokens = open_tokens(server.jwt, clock, opened)
    if tls_files is not None:
        opened.callback(keeper.keep("tls-files", tls_files.run).cancel)
    for task in tokens.watch(keeper) if tokens else ():
        opened.callback(task.cancel)
    socket = _socket(server.unix_socket)
    doors = Doors(
        server.listen,
        tls_files.live if tls_files else None,
        server.jwt.listen if server.jwt else None,
        socket,
        server.max_connection_age_ms,
    )
    identity = Identity(
        plaintext=server.tls is None,
        socket_caller=socket.caller if socket else None,
        tokens=tokens,
        token_beats_certificate=server.jwt is not None and server.jwt.with_certificate == "token",
    )
    return Edge(doors, identity, tls_files, tokens)


def _socket(config: UnixSocketConfig | None) -> UnixSocket | None:
    if config is None:
        return None
    return UnixSocket(config.path, Caller(config.caller, METHOD), int(config.mode, 8))
