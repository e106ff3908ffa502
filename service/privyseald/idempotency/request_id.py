"""Request ids: UUIDs, in whatever form they come."""

import re

from privyseald.errors import FieldInvalid

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")


def canonical_id(request_id: str) -> str:
    """Return a request id in its one form, in whatever form it comes. Raises FieldInvalid."""
    text = request_id.lower()
    if not _UUID.fullmatch(text):
        raise FieldInvalid(
            "request_id", "must be a UUID, as in 8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11, or empty"
        )
    return text.replace("-", "")
