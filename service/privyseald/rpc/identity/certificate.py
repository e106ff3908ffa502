"""Who calls, read from the client's certificate."""

import re
from collections.abc import Iterable, Mapping

from privyseald.caller import Caller
from privyseald.errors import CallerUnproved
from privyseald.rpc.identity.name import is_name

# From the strongest claim to the weakest, each in its own form, so that a name of one kind is none
# of another: a CA may look closely at URIs, and at DNS names less. The common name is never one.
_KINDS = (
    # The SPIFFE ID standard, section 2: neither user nor port, no '.' and '..' segments.
    (
        "peer_spiffe_id",
        "spiffe",
        re.compile(r"spiffe://[a-z0-9._-]+(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._-]+)*"),
    ),
    ("peer_uri", "uri", re.compile(r"(?!spiffe:)[a-z][a-z0-9+.-]*:[^*]+", re.IGNORECASE)),
    ("peer_dns", "dns", re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.IGNORECASE)),
)
# What stands at the beginning of callers who are proved in another way, and the name of one.
_TAKEN = ("jwt:", "unix:")
_LOCAL = "local"


def shows_certificate(auth_context: Mapping[str, Iterable[bytes]]) -> bool:
    """Return whether the client showed a certificate; if so, gRPC has verified it."""
    return "x509_pem_cert" in auth_context


def caller_of(auth_context: Mapping[str, Iterable[bytes]]) -> Caller:
    """Return the caller that a verified certificate names. Raises CallerUnproved."""
    for property_name, method, form in _KINDS:
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
        if not form.fullmatch(name):
            raise CallerUnproved(
                f"the client certificate's {method} name is none of that kind, or could be taken "
                "for another's; give it a plain one, as in 'spiffe://desk.example/mm'"
            )
        if name.startswith(_TAKEN) or name.lower() == _LOCAL:
            raise CallerUnproved(
                "the client certificate's name begins as those of callers without a certificate "
                "do; give it another"
            )
        return Caller(name, f"mtls-{method}")
    raise CallerUnproved(
        "the client certificate has no SPIFFE ID, URI or DNS name; the common name does not count"
    )
