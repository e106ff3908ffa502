"""Takes away from a failing request what it does not need to fail."""

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from policy.fuzz_case import Case


async def shrunk(case: Case, fails: Callable[[Case], Awaitable[bool]]) -> Case:
    """Return the smallest case found that fails as well."""
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for smaller in _smaller(case):
            if await fails(smaller):
                case, is_smaller = smaller, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    for place in range(len(case.query)):
        yield replace(case, query=case.query[:place] + case.query[place + 1 :])
    path, mark, query = case.target.partition("?")
    for text in _without_one(query):
        yield replace(case, target=path + (mark and text and f"?{text}"))
    for text in _without_one(case.body.decode("latin-1")):
        yield replace(case, body=text.encode("latin-1"))
    try:
        value = json.loads(case.body)
    except ValueError:
        return
    if isinstance(value, dict):
        # Two keys of one name are one from here on, which may be what fails.
        for name in value:
            fewer = {other: each for other, each in value.items() if other != name}
            yield replace(case, body=json.dumps(fewer).encode())


def _without_one(text: str) -> Iterator[str]:
    parts = text.split("&")
    if len(parts) > 1:
        for place in range(len(parts)):
            yield "&".join(parts[:place] + parts[place + 1 :])
