"""What may be a caller's name, however it was proved."""

import re

_NAME = re.compile(r"[\x21-\x7e]{1,256}")


def is_name(text: str) -> bool:
    """Return whether it can stand in a policy and in an audit line without a doubt."""
    return _NAME.fullmatch(text) is not None
