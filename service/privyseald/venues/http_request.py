"""A request before it is signed, and the rules that all venues share.

What could be read in two ways is refused here, so that what is looked at, what is signed
and what the venue's server reads are one thing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from privyseald.errors import BodyInvalid, FieldInvalid, ParameterReserved
from privyseald.strict_json import JsonValue
from privyseald.venues.likeness import likeness

METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH"})
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,=:@/-]|%[0-9A-Fa-f]{2})*")
# No raw ';': some servers take it for '&' (Rack before 3, which Peatio runs on).
_QUERY = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,=:@/?-]|%[0-9A-Fa-f]{2})*")
# What an escape in a path may stand for: a blank, a few marks, and bytes outside ASCII. Any
# other is a second spelling of a path that a server reads as the first, '%6Frder' for 'order'.
_NEEDED_ESCAPE = re.compile(r"%(?:2[02]|3[cCeE]|5[bBdDeE]|60|7[b-dB-D]|[89a-fA-F][0-9a-fA-F])")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+(?:; ?charset=utf-8)?", re.IGNORECASE)
_MAX_PATH = 2048
_MAX_QUERY = 16_384
MAX_BODY = 262_144


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that a caller wants to send. `query` is encoded already, without '?'.

    `json` is what a venue's `normalise` read from the body, where it is JSON.
    """

    method: str
    path: str
    query: str = ""
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""
    json: JsonValue = field(default=None, repr=False, compare=False)


def make_request(
    method: str,
    target: str,
    parameters: Iterable[tuple[str, str]],
    body: bytes,
    content_type: str,
) -> HttpRequest:
    """Return the request of a path that may carry a query, or of a path and parameters.

    Raises FieldInvalid or BodyInvalid.
    """
    path, mark, query = target.partition("?")
    encoded = encode_query(parameters)
    if mark and encoded:
        raise FieldInvalid(
            "http_request.query",
            "is given twice, in 'path' behind '?' and in 'query'; give it in one of them",
        )
    request = HttpRequest(method, path, query or encoded, body, content_type)
    _check(request)
    return request


def encode_query(parameters: Iterable[tuple[str, str]]) -> str:
    """Return names and values percent-encoded in their order (RFC 3986; a space is %20)."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters)


def parameter_names(encoded: str) -> list[str]:
    """Return the decoded names of a query or form, in order."""
    if not encoded:
        return []
    return [unquote_plus(pair.partition("=")[0]) for pair in encoded.split("&")]


def parameter(encoded: str, name: str) -> str | None:
    """Return the decoded value of a name in a query or form; None when it is not there."""
    for pair in encoded.split("&"):
        found, _, value = pair.partition("=")
        if unquote_plus(found) == name:
            return unquote_plus(value)
    return None


def check_parameters(names: list[str], reserved: frozenset[str], field_name: str) -> None:
    """Raise where a name stands twice, in whatever spelling, or is one that the signer adds."""
    seen: dict[str, str] = {}
    added = {likeness(name) for name in reserved}
    for name in names:
        if not name:
            raise FieldInvalid(field_name, "has a parameter without a name; check for a stray '&'")
        like = likeness(name)
        if like in added:
            raise ParameterReserved(
                field_name, f"holds '{_shown(name)}', which Privyseal adds itself; leave it out"
            )
        if like in seen and (seen[like] != name or not name.endswith("[]")):
            raise FieldInvalid(
                field_name,
                f"has the parameter '{_shown(name)}' twice, or one that some servers take for it; "
                "give each once",
            )
        seen[like] = name


def form_text(body: bytes, field_name: str = "http_request.body") -> str:
    """Return a form body as text. Raises BodyInvalid when it is not percent-encoded."""
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError as error:
        raise BodyInvalid(
            field_name, "must be a form such as 'symbol=BTCUSDT&side=BUY', percent-encoded"
        ) from error
    if not _QUERY.fullmatch(text):
        raise BodyInvalid(
            field_name,
            "must be a form such as 'symbol=BTCUSDT&side=BUY', percent-encoded: it holds a "
            "character that must be written as %XX",
        )
    return text


def _check(request: HttpRequest) -> None:
    if request.method not in METHODS:
        raise FieldInvalid(
            "http_request.method", "must be one of GET, POST, PUT, DELETE, PATCH in upper case"
        )
    _check_path(request.path)
    if len(request.query) > _MAX_QUERY or not _QUERY.fullmatch(request.query):
        raise FieldInvalid(
            "http_request.query",
            f"must be at most {_MAX_QUERY} characters that may stand in a URL's query; "
            "percent-encode the others",
        )
    if len(request.body) > MAX_BODY:
        raise BodyInvalid("http_request.body", f"is longer than {MAX_BODY} bytes")
    if request.body and request.method == "GET":
        raise BodyInvalid("http_request.body", "is given for a GET; give parameters in 'query'")
    if request.content_type and not _MEDIA_TYPE.fullmatch(request.content_type):
        raise FieldInvalid(
            "http_request.content_type", "must be a media type such as 'application/json'"
        )


def _check_path(path: str) -> None:
    if not path.startswith("/"):
        raise FieldInvalid(
            "http_request.path", "must begin with '/', as in '/api/v4/order/new', without a host"
        )
    if len(path) > _MAX_PATH or not _PATH.fullmatch(path):
        raise FieldInvalid(
            "http_request.path",
            f"must be at most {_MAX_PATH} characters that may stand in a URL's path; "
            "percent-encode the others",
        )
    if "//" in path or path.count("%") != len(_NEEDED_ESCAPE.findall(path)):
        raise FieldInvalid(
            "http_request.path",
            "has '//', or a character as %XX that stands plainly in a path, or may not stand there",
        )
    if "%" in path and not _is_utf8(unquote_to_bytes(path)):
        raise FieldInvalid("http_request.path", "has bytes as %XX that are not UTF-8")
    if "." in path and any(segment in {".", ".."} for segment in path.split("/")):
        raise FieldInvalid("http_request.path", "has a '.' or '..' segment; give the plain path")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name[:64])
