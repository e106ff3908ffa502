"""What venues answer, read without trust: JSON or HTML, whole or half, kind or not."""

import json
import re
from collections.abc import Mapping

from privyseald.errors import VenueOutcomeUnknown
from privyseald.outbound.outbound import OutboundResponse
from privyseald.strict_json import is_deeper_than

_LONG_TOKEN = re.compile(r"[A-Za-z0-9+/=_.-]{24,}")
_MAX_MESSAGE = 200
_MAX_DEPTH = 64


def clean(text: object) -> str:
    """Return a venue's words fit to be shown: one line, bounded, long tokens left out."""
    line = " ".join(str(text if text is not None else "").split())
    printable = "".join(letter if " " <= letter <= "~" else "?" for letter in line)
    return _LONG_TOKEN.sub("[...]", printable)[:_MAX_MESSAGE]


def json_object(venue: str, response: OutboundResponse) -> Mapping[str, object]:
    """Return the JSON object that the venue answered, whatever content type it claims.

    Raises VenueOutcomeUnknown for anything else: HTML, nothing, half a body, a redirect.
    """
    if 300 <= response.status < 400:
        raise unknown(
            venue,
            response,
            "a redirect, which is never followed: check the venue's base_urls in the config",
        )
    try:
        text = response.body.decode("utf-8-sig")
        if is_deeper_than(_MAX_DEPTH, text):
            raise unknown(venue, response, f"JSON of more than {_MAX_DEPTH} levels")
        answer = json.loads(text)
    except ValueError as error:
        kind = "nothing" if not response.body.strip() else "no JSON"
        raise unknown(venue, response, f"{kind}; look at the venue's status page") from error
    if not isinstance(answer, dict):
        raise unknown(venue, response, "JSON that is no object")
    return answer


def refusal_or_json_object(venue: str, response: OutboundResponse) -> Mapping[str, object]:
    """Return the JSON object, an empty one where a refusal (4xx) comes without: a page, nothing.

    A 4xx says by itself that nothing happened. Raises VenueOutcomeUnknown as `json_object`.
    """
    try:
        return json_object(venue, response)
    except VenueOutcomeUnknown:
        if 400 <= response.status < 500:
            return {}
        raise


def unknown(venue: str, response: OutboundResponse, what: str) -> VenueOutcomeUnknown:
    """Return the error for an answer that says nothing of what happened."""
    return VenueOutcomeUnknown(
        f"{venue} answered HTTP {response.status} with {what}; the request may have taken effect",
        metadata={"venue": venue, "httpStatus": str(response.status)},
    )
