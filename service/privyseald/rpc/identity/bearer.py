"""The bearer token of an RPC (RFC 6750 section 2.1, carried as gRPC metadata)."""

from collections.abc import Iterable

from privyseald.errors import CallerUnproved


def bearer_token(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """Return the token, None where none came. Raises CallerUnproved, never with its text."""
    found = [value for name, value in metadata if name == "authorization"]
    if not found:
        return None
    if len(found) > 1:
        raise CallerUnproved("the metadata 'authorization' came more than once; send it once")
    scheme, _, token = str(found[0]).partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise CallerUnproved("the metadata 'authorization' must be 'Bearer TOKEN'")
    return token
