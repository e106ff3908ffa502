"""Who calls: read from the client's certificate, once, at the edge."""

import re
from collections.abc import Iterable, Mapping

from privyseald.caller import Caller
from privyseald.errors import CallerUnproved

LOCAL = Caller("local", "loopback")

_NAME = re.compile(r"[\x21-\x7e]{1,256}")
# From the strongest claim to the weakest. The common name is never one.
_KINDS = (("peer_spiffe_id", "spiffe"), ("peer_uri", "uri"), ("peer_dns", "dns"))


def caller_of(auth_context: Mapping[str, Iterable[bytes]]) -> Caller:
    """Return the caller that a verified certificate names, over TLS 1.3.

    gRPC for Python has no switch for the version of TLS, so it is looked at here. Raises
    CallerUnproved.
    """
    if list(auth_context.get("ssl_tls_version", ())) != [b"TLSv1.3"]:
        raise CallerUnproved(
            "the connection uses a TLS older than 1.3; let the client, or the proxy between, use "
            "TLS 1.3"
        )
    for property_name, method in _KINDS:
        names = list(auth_context.get(property_name, ()))
        if not names:
            continue
        if len(names) > 1:
            raise CallerUnproved(
                f"the client certificate has {len(names)} {method} names; it must have one, "
                "so that there is no doubt who calls"
            )
        name = names[0].decode("ascii", errors="replace")
        if not _NAME.fullmatch(name):
            raise CallerUnproved("the client certificate's name has characters that none may have")
        return Caller(name, f"mtls-{method}")
    raise CallerUnproved(
        "the client certificate has no SPIFFE ID, URI or DNS name; the common name does not count"
    )
