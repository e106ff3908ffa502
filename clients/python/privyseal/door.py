"""What the doors to HTTP libraries have in common: what to sign, what goes out, what to report."""

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from privyseal.beginning import REPORTED_BYTES
from privyseal.errors import ConfigurationError, RequestRefused
from privyseal.v1 import signing_service_pb2 as pb

Report = Literal["errors", "all", "none"]
Headers = Iterable[tuple[str, str]]

MAX_BODY_BYTES = 1_048_576
SESSION_MISSING = "SESSION_MISSING"
REDIRECTS = frozenset({301, 302, 303, 307, 308})

_FIRST_ERROR = 400
_ON_THE_WIRE = re.compile(r"[\x21-\x22\x24-\x7e]*")
_NEVER_SENT = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "authorization",
        "cookie",
        "proxy-authorization",
        "proxy-connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
    }
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it would go over the wire unsigned: `target` is path and query."""

    method: str
    target: str
    content_type: str
    body: bytes

    def __repr__(self) -> str:
        return f"Outgoing({self.method!r}, hidden)"


@dataclass(frozen=True, slots=True)
class Door:
    """A key's name, and how its requests are treated: whether a missing session is opened, which
    answers are reported, and how many bytes a body may have.
    """

    key: str
    login: bool = True
    report: Report = "errors"
    max_body_bytes: int = MAX_BODY_BYTES

    def __post_init__(self) -> None:
        if self.report not in ("errors", "all", "none"):
            raise ConfigurationError("report", "give 'errors', 'all' or 'none'")
        if self.max_body_bytes < 0:
            raise ConfigurationError("max_body_bytes", "give a number of bytes")

    def sign_request(self, outgoing: Outgoing, *, retried: bool) -> pb.SignRequest:
        """Return what to ask for, each time with an id of its own where it may be asked again."""
        return pb.SignRequest(
            key=self.key,
            request_id=str(uuid.uuid4()) if retried else "",
            http_request=pb.HttpRequest(
                method=outgoing.method,
                path=outgoing.target,
                body=outgoing.body,
                content_type=outgoing.content_type,
            ),
        )

    def reports(self, status: int) -> bool:
        """Whether an answer of this status is reported."""
        return self.report == "all" or (self.report == "errors" and status >= _FIRST_ERROR)

    def report_request(
        self, signed: pb.SignResponse, status: int, body: bytes, date: str
    ) -> pb.ReportAnswerRequest:
        """Return the report of an answer."""
        return pb.ReportAnswerRequest(
            key=self.key,
            http_status=status,
            body=body[:REPORTED_BYTES],
            sign_time=signed.sign_time,
            nonce=signed.nonce,
            date=date,
        )

    def grown(self, body: bytearray, part: bytes) -> None:
        """Add a part to a body. Raises RequestRefused where it then is too long."""
        body += part
        if len(body) > self.max_body_bytes:
            raise RequestRefused(
                f"the body is longer than {self.max_body_bytes} bytes, and nothing was signed; "
                "max_body_bytes of the door allows more"
            )

    def checked(self, body: bytes) -> bytes:
        """Return a body that is whole already. Raises RequestRefused where it is too long."""
        self.grown(bytearray(), body)
        return body


def merged_headers(own: Headers, signed: pb.SignedHttpRequest) -> list[tuple[str, str]]:
    """Return the headers that go out: the signed ones, and those of the request's own that are
    neither signed nor HTTP's business, with the length of the signed body.
    """
    headers = [(header.name, header.value) for header in signed.headers]
    taken = {name.lower() for name, _ in headers} | _NEVER_SENT
    if not signed.body:
        taken.add("content-type")
    headers += [(name, value) for name, value in own if name.lower() not in taken]
    if signed.body or signed.method in ("POST", "PUT", "PATCH"):
        headers.append(("Content-Length", str(len(signed.body))))
    return headers


def target_of(url: str) -> str:
    """Return path and query of an absolute URL, byte for byte. Raises RequestRefused where there
    is what HTTP can't have on the wire: a fragment, white space, or other than ASCII.
    """
    if _ON_THE_WIRE.fullmatch(url) is None:
        raise url_would_change()
    rest = url.partition("://")[2]
    start = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=-1)
    return rest[start:] if start >= 0 else "/"


def hide_query(error: BaseException | None, url: str) -> None:
    """Take a signed query, which may hold the signature, out of the text of an error and of those
    that it comes from.
    """
    query = url.partition("?")[2]
    todo: list[Any] = [error] if query else []
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, OSError) and isinstance(each.strerror, str):
            each.strerror = each.strerror.replace(query, "(hidden)")
        each.args = tuple(
            part.replace(query, "(hidden)") if isinstance(part, str) else part for part in each.args
        )
        todo += [*each.args, each.__cause__, each.__context__, getattr(each, "reason", None)]


def url_would_change() -> RequestRefused:
    """Return the refusal of a signed URL that the library would write differently."""
    return RequestRefused(
        "the HTTP library would change the signed URL on its way, and nothing was sent; write path "
        "and query in the encoding that it uses itself"
    )
