"""docs/audit.md names all that can stand in an audit line."""

import re
from dataclasses import fields
from pathlib import Path

from privyseald.audit.entry import Entry
from privyseald.policy.watch import PolicyEvent

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "audit.md").read_text()
_ROW = re.compile(r"^\| `([a-z_0-9-]+)` \|", re.MULTILINE)
_EVENT = re.compile(r'"event": "([a-z-]+)"')


def rows(title: str) -> list[str]:
    """Return the first cells of a table."""
    table = TEXT.partition(f"\n| {title} |")[2].partition("\n\n")[0]
    return _ROW.findall(table)


def test_every_field_is_explained() -> None:
    """Each field of an entry, and what every line has beside them."""
    place = {"sequence", "previous", "chain", "replica", "time_us", "withheld", "duration_us"}

    assert place | {each.name for each in fields(Entry)} == set(rows("field"))


def test_every_event_of_the_log_is_explained() -> None:
    """Each event that the log writes by itself, or that is of the policy, has a row, and no row
    is of none.
    """
    written = {
        name
        for file in (ROOT / "service/privyseald/audit").glob("*.py")
        for name in _EVENT.findall(file.read_text())
    }

    written |= {each.value for each in PolicyEvent}
    assert written == set(rows("`event` | what happened | beside it"))
    assert "start" in written
