import os
import subprocess
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LIVES = 40


def output_of(program: str, *arguments: str) -> list[list[str]]:
    """Return the words of each line that a program beside this file prints."""
    done = subprocess.run(
        [sys.executable, str(HERE / program), *arguments],
        capture_output=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])},
    )
    return [line.split() for line in done.stdout.decode().splitlines() if line]


@pytest.mark.parametrize("seed", ["1", "2"])
def test_nothing_is_given_twice_or_lost_over_many_killed_lives(tmp_path: Path, seed: str) -> None:
    """Whenever kill -9 strikes and wherever the clock stands: no value is given twice, also where
    resyncs come down, and what was put is found by the next life.
    """
    values: dict[str, list[int]] = defaultdict(list)
    tried: dict[str, int] = defaultdict(int)
    put: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    found = 0
    for word, *others in output_of("lives.py", str(tmp_path / "marks"), str(LIVES), seed):
        if len(others) == 1:
            values[word].append(int(others[0]))
        elif word == "try" and len(others) == 3:
            tried[others[0]] = int(others[1])
        elif len(others) == 3:
            name, number, version = others[0], int(others[1]), int(others[2])
            last, last_version = put[name]
            assert last <= number <= tried[name]
            assert version > last_version or (last, last_version) == (number, version)
            put[name] = number, version
            found += word == "found"

    assert LIVES == sum(name.startswith("life/") for name in values)
    assert found > LIVES
    counters = {name: given for name, given in values.items() if not name.startswith("life/")}
    growing = {"shared/ms", "shared/us", "own/ms", "own/us", "small-1", "small-2"}
    assert {*growing, "turned-1", "turned-2"} == counters.keys()
    for name, given in counters.items():
        assert len(given) > LIVES // 4
        assert len(given) == len(set(given))
        is_growing = all(one < next_one for one, next_one in pairwise(given))
        assert (name in growing) == is_growing


def test_no_record_is_lost_wherever_a_write_or_a_compaction_dies(tmp_path: Path) -> None:
    """After a death at any call that changes the disk the next one finds what was acknowledged
    last, or what was under way.
    """
    put: dict[str, str] = {}
    tried: dict[str, str] = {}
    steps = set()
    for word, step, name, counter in output_of("deaths.py", str(tmp_path / "marks")):
        steps.add(int(step))
        if word == "try":
            tried[name] = counter
        elif word == "put":
            put[name] = counter
        else:
            assert counter in {put.get(name), tried[name]}, f"lost at step {step}"
            put[name] = tried[name] = counter

    assert len(steps) > 60
