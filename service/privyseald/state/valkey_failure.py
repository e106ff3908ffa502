"""What goes wrong between this service and a Valkey, and what to do about it.

Of what the server answers only the first word is kept: the rest may quote what was sent.
"""

import ssl

from privyseald.errors import StateUnavailable

_RETRY_MS = 1_000
_ADVICE = {
    "NOAUTH": "wants a password: set state.password_file (and state.username), or a sentinel "
    "wants one: state.sentinel_password_file",
    "WRONGPASS": "refuses the password: look at state.password_file and state.username, and at "
    "state.sentinel_password_file where there are sentinels",
    "NOPERM": "forbids what this service must do: give its user the ACL in docs/state.md",
    "READONLY": "is a replica: state.url must lead to the primary",
    "NOREPLICAS": "has too few replicas in touch to take a write (min-replicas-to-write)",
    "OOM": "is out of memory (maxmemory); give it more, or find what fills it",
    "MISCONF": "can't save to its disk and takes no writes; look at its log and its disk",
    "LOADING": "is still reading its memory from the disk; wait",
    "BUSY": "is busy with somebody's script; end that, or wait",
    "MASTERDOWN": "is a replica without its primary; wait for the failover, or look at both",
    "CLUSTERDOWN": "is a cluster that does not cover all slots; look at its nodes",
    "MOVED": "has moved to another node; it is looked for",
    "ASK": "is moving to another node; wait until that is done",
    "TRYAGAIN": "is moving to another node; wait until that is done",
    "NORUNID": "does not tell its run_id and master_replid in INFO, without which a restart "
    "can't be noticed; use a Valkey or Redis that does",
}
# After these the server that is asked next may be another one.
_ELSEWHERE = frozenset(
    {"READONLY", "MOVED", "ASK", "MASTERDOWN", "CLUSTERDOWN", "LOADING", "NOAUTH", "UNBLOCKED"}
)


class Refused(Exception):
    """The server answered with an error; `code` is its first word."""

    def __init__(self, text: str) -> None:
        # Of what a script may not use, servers speak in different ways.
        is_forbidden = "ACL failure in script" in text or "user executing the script" in text
        self.code = "NOPERM" if is_forbidden else text.partition(" ")[0][:32]
        super().__init__(self.code)

    @property
    def is_elsewhere(self) -> bool:
        """Whether another server may do what this one does not."""
        return self.code in _ELSEWHERE


class Broken(Exception):
    """There is no connection (any more). Whether a command was executed is not known."""


def of_refusal(refused: Refused) -> StateUnavailable:
    """Return what the caller hears of a refusal."""
    code = refused.code if refused.code.isalpha() and refused.code.isupper() else "ERR"
    advice = _ADVICE.get(code, f"answered with an error ({code}); look at its log")
    return away(advice)


def of_connecting(error: Exception) -> Broken:
    """Return why a connection could not be made, without an address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Broken(
            "shows a certificate that state.ca_file does not vouch for, or that is for another "
            "host than state.url names"
        )
    if isinstance(error, ssl.SSLError | ConnectionResetError):
        return Broken(
            "breaks off while the connection is made: check that state.url has the right scheme "
            "(valkeys:// for TLS) and port, and state.certificate_file if the server asks for one"
        )
    if isinstance(error, TimeoutError):
        return Broken("did not answer within state.timeout_ms; check the network to state.url")
    return Broken("can't be reached: check that it runs and that state.url leads to it")


def away(what: str, retry_after_ms: int = _RETRY_MS) -> StateUnavailable:
    """Return the error for the caller: the shared state does, or is, `what`."""
    return StateUnavailable(
        f"the shared state (Valkey) {what}; nothing that needs it can be done meanwhile",
        retry_after_ms=retry_after_ms,
    )


def stopping() -> StateUnavailable:
    """Return the error after `close`."""
    return StateUnavailable("this server is stopping; ask another one", retry_after_ms=_RETRY_MS)
