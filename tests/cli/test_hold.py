import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli.program import Site, privyseal


def import_key(site: Site, key_id: str) -> None:
    """Import a WhiteBIT key."""
    result = site.privyseal(
        "keys", "import", key_id, "--venue", "whitebit", "--field", f"api_key={key_id}",
        "--secret-file", "-", text="test-secret",
    )  # fmt: skip
    assert result.exit_code == 0, result.output


def held(site: Site) -> list[dict[str, str]]:
    """Return the holds in force."""
    holds: list[dict[str, str]] = json.loads(site.privyseal("hold", "list", "--json").stdout)
    return holds


@pytest.fixture(autouse=True)
def _lifted(site: Site) -> Iterator[None]:
    """Leave no hold behind."""
    yield
    for hold in held(site):
        site.privyseal("hold", "delete", hold["name"])


def test_a_key_is_stopped_and_let_go(site: Site) -> None:
    """`hold create`, what Sign says then, `hold list`, `hold delete`, and Sign again."""
    import_key(site, "hold-1")
    sign = ("sign", "hold-1", "POST", "/api/v4/orders")
    created = site.privyseal("hold", "create", "--key", "hold-1", "--cause", "runaway strategy")
    assert (created.exit_code, created.stderr) == (0, "")
    first, *facts = created.stdout.splitlines()
    assert re.fullmatch(r"stopped: keys/hold-1, since 20\S+Z, on every server within 2 s", first), (
        first
    )
    hold_id = facts[0].rpartition("/")[2]
    assert facts == [
        f"hold        holds/{hold_id}",
        "cause       runaway strategy",
        f"to lift it  privyseal hold delete {hold_id}",
    ]

    refused = site.privyseal(*sign)
    assert refused.exit_code == 1
    assert "FAILED_PRECONDITION (HELD): keys/hold-1 is stopped by holds/" in refused.stderr
    table = site.privyseal("hold", "list").stdout
    (row,) = [line.split() for line in table.splitlines() if hold_id in line]
    assert row[:2] == [hold_id, "keys/hold-1"]
    assert row[3:] == ["spiffe://privyseal.test/operator", "runaway", "strategy"]

    lifted = site.privyseal("hold", "delete", hold_id)
    assert (lifted.exit_code, lifted.stdout) == (
        0,
        f"holds/{hold_id} is lifted, on every server within 2 s\n",
    )
    assert site.privyseal(*sign).exit_code == 0
    assert site.privyseal("hold", "list").stdout == "nothing is held\n"


@pytest.mark.parametrize(
    ("arguments", "scope"),
    [
        (("-k", "keys/hold-2"), {"key": "keys/hold-2"}),
        (("-v", "whitebit"), {"venue": "whitebit"}),
        (("-c", "spiffe://privyseal.test/mm"), {"caller": "spiffe://privyseal.test/mm"}),
        (("--all",), {"all": True}),
    ],
)
def test_each_scope_can_be_stopped(
    site: Site, arguments: tuple[str, ...], scope: dict[str, object]
) -> None:
    """In a hurry the option alone does; a pipe is not asked; `--json` prints the hold."""
    result = site.privyseal("hold", "create", *arguments, "--json")
    hold = json.loads(result.stdout)
    assert result.exit_code == 0
    assert [hold] == held(site)
    assert {**hold, **scope, "cause": "no cause given"} == hold
    assert site.privyseal("hold", "list").stdout.count(hold["name"].removeprefix("holds/")) == 1


@pytest.mark.parametrize("arguments", [(), ("--all", "--key", "a"), ("-v", "kiiex", "-k", "a")])
def test_a_hold_stops_one_thing(site: Site, arguments: tuple[str, ...]) -> None:
    """None or two of the scopes is wrong usage, and nothing is stopped."""
    result = site.privyseal("hold", "create", *arguments)
    assert result.exit_code == 2
    assert result.stderr == "error: give one of --key, --venue, --caller and --all\n"
    assert [] == held(site)


def test_what_the_server_refuses_is_exit_code_1(site: Site) -> None:
    """A slip of the pen is told, with the venues that there are."""
    venue = site.privyseal("hold", "create", "--venue", "mtgox")
    assert venue.exit_code == 1
    assert "NOT_FOUND (VENUE_UNKNOWN)" in venue.stderr
    unknown = site.privyseal("hold", "delete", "0123456789")
    assert unknown.exit_code == 1
    assert unknown.stderr == (
        "error: NOT_FOUND (HOLD_UNKNOWN): there is no such hold; "
        "'privyseal hold list' shows those in force\n"
    )


@pytest.mark.parametrize(("answer", "count"), [("n", 0), ("y", 1)])
def test_on_a_terminal_all_is_asked_for(site: Site, answer: str, count: int) -> None:
    """A person who stops everything says so twice; `--yes` says it at once."""
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())
    command = [sys.executable, "-m", "privyseald", "hold", "create", "--all"]
    done = subprocess.run(
        [*command, "--client", site.client_file], stdin=theirs, capture_output=True, check=False
    )
    assert (done.returncode, count) == (1 - count, len(held(site)))
    assert b"Stop all keys at all venues?" in done.stdout + done.stderr
    at_once = subprocess.run(
        [*command, "--yes", "--client", site.client_file],
        stdin=theirs,
        capture_output=True,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert (at_once.returncode, count + 1) == (0, len(held(site)))
    assert b"Stop all keys at all venues?" not in at_once.stdout + at_once.stderr


def test_a_server_that_is_away_is_exit_code_3(site: Site) -> None:
    """It is tried for a while, and then told."""
    client_file = site.directory / "away.toml"
    text = (site.directory / "client.toml").read_text()
    client_file.write_text(re.sub(r'server = "localhost:\d+"', 'server = "localhost:1"', text))
    result = privyseal("hold", "create", "--all", "--client", str(client_file))
    assert result.exit_code == 3
    assert "the server can't be reached" in result.stderr
