"""Who calls, read from the client's certificate."""

from collections.abc import Iterable, Mapping

from privyseald.caller import Caller
from privyseald.errors import CallerUnproved
from privyseald.rpc.identity.name import is_name

# From the strongest claim to the weakest. The common name is never one.
_KINDS = (("peer_spiffe_id", "spiffe"), ("peer_uri", "uri"), ("peer_dns", "dns"))
# What stands at the beginning of callers who are proved in another way.
_TAKEN = ("jwt:", "unix:")


def shows_certificate(auth_context: Mapping[str, Iterable[bytes]]) -> bool:
    """Return whether the client showed a certificate; if so, gRPC has verified it."""
    return "x509_pem_cert" in auth_context


def caller_of(auth_context: Mapping[str, Iterable[bytes]]) -> Caller:
    """Return the caller that a verified certificate names. Raises CallerUnproved."""
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
        if not is_name(name):
            raise CallerUnproved("the client certificate's name has characters that none may have")
        if name.startswith(_TAKEN):
            raise CallerUnproved(
                "the client certificate's name begins as those of callers without a certificate "
                "do; give it another"
            )
        return Caller(name, f"mtls-{method}")
    raise CallerUnproved(
        "the client certificate has no SPIFFE ID, URI or DNS name; the common name does not count"
    )
