"""Putting a signed request together: the URL exact, the headers in order."""

from privyseald.errors import FieldInvalid
from privyseald.venues.http_request import HttpRequest
from privyseald.venues.venue import Environment, SignedHttpRequest


def check_served(request: HttpRequest, environment: Environment) -> None:
    """Raise FieldInvalid when the venue serves no such path."""
    if environment.url(request.path) is None:
        beginnings = ", ".join(f"'{beginning}'" for beginning, _ in environment.hosts)
        raise FieldInvalid(
            "http_request.path", f"is not served by this venue; its paths begin with {beginnings}"
        )


def signed_request(
    request: HttpRequest,
    environment: Environment,
    headers: tuple[tuple[str, str], ...],
    *,
    query: str | None = None,
    body: bytes | None = None,
    expire_time_ms: int | None = None,
) -> SignedHttpRequest:
    """Return what to send: query and body as the signer made them, else the request's own.

    A body gets a Content-Type.
    """
    query = request.query if query is None else query
    body = request.body if body is None else body
    url = environment.url(request.path) or ""
    if query:
        url = f"{url}?{query}"
    if body:
        headers = (("Content-Type", request.content_type), *headers)
    return SignedHttpRequest(request.method, url, headers, body, expire_time_ms)
