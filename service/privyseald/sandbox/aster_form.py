"""The parameters of a request to Aster, and the errors that V1 and V3 share.

Codes and texts are those of asterdex/api-docs V1 "Error Codes", the Binance family. The
HTTP statuses are that family's (401 for the key's own errors, else 400) and inferred here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from privyseald.sandbox.message import Answer, Incoming, Refused

BAD_SIGNATURE = (400, -1022, "Signature for this request is not valid.")
OUTSIDE_WINDOW = (400, -1021, "Timestamp for this request is outside of the recvWindow.")
AHEAD = (400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")
NOT_UTF8 = (400, -1100, "Illegal characters found in a parameter.")
REPEATED = (400, -1101, "Duplicate values for a parameter detected.")
BAD_KEY_FORMAT = (401, -2014, "API-key format invalid.")
KEY_REJECTED = (401, -2015, "Invalid API-key, IP, or permissions for action.")
NONCE_EXPIRED = (400, -4225, "Nonce Expired")
NONCE_REPEATED = (400, -4225, "Nonce Duplicated")
WINDOW_TOO_LONG = (400, -1131, "recvWindow must be less than 60000")
NOT_FOUND = (404, -5000, "Path not found.")

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent. `signed` is query and body as they came, less the signature at the end.

    Where a name stands in both, `values` has the query's (asterdex/api-docs V1). Its order is
    that of the body, then the query.
    """

    signed: str
    signature: str
    values: Mapping[str, str]

    def need(self, *names: str) -> None:
        """Refuse (-1102) unless each parameter is there and not empty."""
        for name in names:
            if not self.values.get(name):
                raise missing(name)


def read_form(request: Incoming) -> Form:
    """Return the parameters of a request. Raises Refused.

    `signature` must be the last parameter of query and body joined: elsewhere it is no
    signature of what was sent. A body counts as parameters only under the content type of
    forms; that is inferred.
    """
    form = read_unordered_form(request)
    query, body = request.query, request.body.decode()
    rest, name, signature = (body or query).rpartition("signature=")
    if name and rest and not rest.endswith("&"):
        name = ""
    signed = (query if body else "") + rest.removesuffix("&")
    return Form(signed, signature if name else "", form.values)


def read_unordered_form(request: Incoming) -> Form:
    """Return the parameters of a request whose signature may stand anywhere. Raises Refused."""
    query = request.query
    try:
        body = request.body.decode()
        query.encode()
    except UnicodeError:
        raise refusal(NOT_UTF8) from None
    is_form = request.header("content-type").partition(";")[0].strip().lower() == _FORM
    values = {**_values(body if is_form else ""), **_values(query)}
    return Form("", values.get("signature", ""), values)


def _values(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    values = dict(pairs)
    if len(values) != len(pairs):
        raise refusal(REPEATED)
    return values


def refusal(error: tuple[int, int, str]) -> Refused:
    """Return the refusal for an error's status, code and text."""
    status, code, text = error
    return Refused(Answer(status, {"code": code, "msg": text}, refusal=f"{code} {text}"))


def missing(name: str) -> Refused:
    """Return the refusal of a request without a parameter that it needs."""
    text = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    return refusal((400, -1102, text))


def illegal(name: str, allowed: str) -> Refused:
    """Return the refusal of a parameter's value."""
    text = f"Illegal characters found in parameter '{name}'; legal range is '{allowed}'."
    return refusal((400, -1100, text))
