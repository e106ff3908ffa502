"""The form that both of Aster's signatures cover: parameters in the query, or in the body."""

from dataclasses import replace

from privyseald.errors import FieldInvalid
from privyseald.venues.http_request import (
    FORM,
    HttpRequest,
    check_parameters,
    form_text,
    parameter_names,
)
from privyseald.venues.likeness import check_bundle, likeness
from privyseald.venues.venue import Environment

# A digit, a capital or an escape at the body's beginning would make '1' a '10', 'BTC' a 'BTCUSDT'.
_GOES_ON_NO_VALUE = {b"", *(bytes([letter]) for letter in b"abcdfghijklmnopqrstuvwxyz")}


def _hosts(domain: str) -> tuple[tuple[str, str], ...]:
    """Return Aster's hosts by path: futures, spot, portfolio margin."""
    return (
        ("/fapi/", f"https://fapi.{domain}"),
        ("/api/", f"https://sapi.{domain}"),
        ("/papi/", f"https://papi.{domain}"),
    )


# The website's API, where wallets log in, is known for production only.
ENVIRONMENTS = (
    Environment("production", (*_hosts("asterdex.com"), ("/bapi/", "https://www.asterdex.com"))),
    Environment("testnet", _hosts("asterdex-testnet.com")),
)


def normalise_form(request: HttpRequest, reserved: frozenset[str]) -> HttpRequest:
    """Return the request with its parameters checked: each once, none that the signer adds."""
    if request.method == "PATCH":
        raise FieldInvalid("http_request.method", "must be GET, POST, PUT or DELETE")
    if request.path.startswith("/bapi/"):
        raise FieldInvalid(
            "http_request.path", "is the website's API, which takes no signature; use Login"
        )
    if request.content_type not in {"", FORM}:
        raise FieldInvalid("http_request.content_type", f"must be {FORM}, or empty")
    in_query = parameter_names(request.query)
    in_body = parameter_names(form_text(request.body))
    check_parameters(in_query, reserved, "http_request.query")
    check_parameters(in_body, reserved, "http_request.body")
    twice = {likeness(name) for name in in_query} & {likeness(name) for name in in_body}
    if twice:
        raise FieldInvalid(
            "http_request.query",
            f"and the body both hold '{min(twice)[:64]}'; give each parameter once",
        )
    check_bundle([*in_query, *in_body], "http_request.query")
    if request.query and request.body[:1] not in _GOES_ON_NO_VALUE:
        raise FieldInvalid(
            "http_request.body",
            "begins with what could go on the query's last value, to which it is joined with "
            "nothing between; put a parameter first that begins with another lower-case letter, "
            "or give all in one place",
        )
    for encoded, place in ((request.query, "query"), (request.body.decode(), "body")):
        _check_marks(encoded, f"http_request.{place}")
    return replace(request, content_type=FORM)


def _check_marks(encoded: str, field_name: str) -> None:
    """Raise where a value holds a raw '=': query and body are signed as one text, and cut in
    another place, what stands before it would be a parameter's name.
    """
    if any(pair.count("=") != 1 for pair in encoded.split("&") if encoded):
        raise FieldInvalid(
            field_name,
            "has a parameter without '=', or with more than one; write '=' in a value as %3D",
        )


def joined(parameters: str, more: str) -> str:
    """Return two strings of parameters as one."""
    return f"{parameters}&{more}" if parameters else more
