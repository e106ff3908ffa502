"""`privyseal` with a clock that is early or late by as many milliseconds as a file says.

The file is `skew` in the working directory.
"""

import sys
from pathlib import Path

from privyseald.cli.app import main
from privyseald.clock import SystemClock

_FILE = Path("skew")
_true_time_us = SystemClock.time_us


def _skewed_time_us(clock: SystemClock) -> int:
    skew_ms = int(_FILE.read_text()) if _FILE.exists() else 0
    return _true_time_us(clock) + skew_ms * 1_000


if __name__ == "__main__":
    SystemClock.time_us = _skewed_time_us  # type: ignore[assignment, method-assign]  # what this is for
    sys.argv[0] = "privyseal"
    main()
