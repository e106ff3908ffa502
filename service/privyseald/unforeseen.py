"""What nobody foresaw: an id to find it by in the log, and where it came from. Never its text,
which may quote what must not be logged.
"""

import secrets

_MOST_PLACES = 40


def new_error_id() -> str:
    """Return an id that the log and whoever is told have in common."""
    return secrets.token_hex(6)


def trace_of(error: BaseException) -> str:
    """Return types and places of an exception and its causes."""
    lines: list[str] = []
    current: BaseException | None = error
    while current is not None and len(lines) < _MOST_PLACES:
        lines.append(type(current).__qualname__)
        frame = current.__traceback__
        while frame is not None:
            code = frame.tb_frame.f_code
            lines.append(f"{code.co_filename.rpartition('/')[2]}:{frame.tb_lineno} {code.co_name}")
            frame = frame.tb_next
        if isinstance(current, BaseExceptionGroup):
            current = current.exceptions[0]
        else:
            current = current.__cause__ or current.__context__
    return " < ".join(lines)
