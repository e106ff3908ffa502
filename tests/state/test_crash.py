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
    return [line.split() for line in done.stdout.decode().splitlines()]


@pytest.mark.parametrize("seed", ["1", "2"])
def test_no_value_is_handed_out_twice_over_many_killed_lives(tmp_path: Path, seed: str) -> None:
    """Whenever kill -9 strikes and wherever the clock stands, values grow from life to life."""
    values: dict[str, list[int]] = defaultdict(list)
    for words in output_of("lives.py", str(tmp_path / "marks"), str(LIVES), seed):
        if len(words) == 2:
            values[words[0]].append(int(words[1]))

    assert LIVES == sum(name.startswith("life/") for name in values)
    counters = {name: given for name, given in values.items() if not name.startswith("life/")}
    assert {
        "shared/ms",
        "shared/us",
        "own/ms",
        "own/us",
        "small-1",
        "small-2",
    } == counters.keys()
    for given in counters.values():
        assert len(given) > LIVES // 4
        assert all(one < next_one for one, next_one in pairwise(given))


def test_no_mark_is_lost_wherever_a_write_or_a_compaction_dies(tmp_path: Path) -> None:
    """After a death at any call that changes the disk, every acknowledged mark is found."""
    put: dict[str, int] = {}
    steps = set()
    for word, step, name, mark in output_of("deaths.py", str(tmp_path / "marks")):
        steps.add(int(step))
        if word == "put":
            put[name] = max(put.get(name, 0), int(mark))
        else:
            assert int(mark) >= put.get(name, 0), f"lost at step {step}"

    assert len(steps) > 60
