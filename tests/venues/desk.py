"""A desk that signs at a venue as the service does: make, check, normalise, sign."""

from collections.abc import Iterable

from fakes import NOW_MS
from privyseald.signing.signer import Credential
from privyseald.venues.http_request import HttpRequest, make_request
from privyseald.venues.registry import Venues
from privyseald.venues.signed import check_served
from privyseald.venues.venue import Moment, Session, SignedHttpRequest

VENUES = Venues()
NONCE_MS = NOW_MS
NONCE_US = NOW_MS * 1_000


def ask(
    keyed: Credential,
    method: str,
    target: str,
    body: bytes | str = b"",
    content_type: str = "",
    query: Iterable[tuple[str, str]] = (),
) -> HttpRequest:
    """Return the request as it will be signed. Raises RequestInvalid."""
    raw = body.encode() if isinstance(body, str) else body
    venue = VENUES.get(keyed.key.venue)
    request = make_request(method, target, query, raw, content_type)
    check_served(request, VENUES.environment(venue, keyed.key.environment))
    return venue.normalise(request, keyed)


async def sign(
    keyed: Credential,
    method: str,
    target: str,
    body: bytes | str = b"",
    content_type: str = "",
    *,
    query: Iterable[tuple[str, str]] = (),
    nonce: int | None = NONCE_MS,
    session: Session | None = None,
) -> SignedHttpRequest:
    """Return the bytes to send."""
    venue = VENUES.get(keyed.key.venue)
    request = ask(keyed, method, target, body, content_type, query)
    environment = VENUES.environment(venue, keyed.key.environment)
    return await venue.sign(request, keyed, environment, Moment(NOW_MS, nonce), session)
