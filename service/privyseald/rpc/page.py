"""Pages of lists: sizes checked, tokens opaque."""

import base64

from privyseald.errors import FieldInvalid

_DEFAULT = 100
_MAX = 1_000


def page_size(size: int) -> int:
    """Return how many to list. Raises FieldInvalid."""
    if not 0 <= size <= _MAX:
        raise FieldInvalid("page_size", f"must be 1 to {_MAX}, or 0 for {_DEFAULT}")
    return size or _DEFAULT


def page_token(after: str) -> str:
    """Return the token of the page behind `after`; empty for the last page."""
    return base64.urlsafe_b64encode(after.encode()).decode()


def page_after(token: str) -> str:
    """Return where a page begins. Raises FieldInvalid for a token that is none of ours."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
    except ValueError as error:
        raise FieldInvalid("page_token", "is not the next_page_token of an earlier page") from error
