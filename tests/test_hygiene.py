import ctypes
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from privyseald import hygiene
from served import Served

_SHOW = """
import ctypes, resource
from privyseald.hygiene import close_memory
print(close_memory(), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(4))
"""


def _cores(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith("core")]


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def test_a_process_that_closed_its_memory_can_not_be_dumped() -> None:
    """The kernel itself says so: not dumpable, and no core file may have any size."""
    done = subprocess.run(
        [sys.executable, "-c", _SHOW], capture_output=True, text=True, timeout=30, check=True
    )

    assert resource.RLIMIT_CORE == 4
    assert "() 0 (0, 0)" == done.stdout.strip()


async def test_a_server_closes_its_memory(tmp_path: Path) -> None:
    """`serve` can't be made to leave a core, and its figures in /proc can still be read."""
    async with Served(tmp_path) as served:
        limits = _proc(served.pid, "limits").splitlines()
        core = next(line for line in limits if line.startswith("Max core file size"))
        figures = _proc(served.pid, "stat").split()
        rss = served.rss
        ended = served.signal(signal.SIGABRT)

    assert ["0", "0"] == core.split()[4:6]
    assert int(figures[0]) == served.pid
    assert rss > 0
    assert -signal.SIGABRT == ended
    assert [] == _cores(tmp_path)


def test_its_own_user_can_not_read_its_memory() -> None:
    """What belongs to a process that is not dumpable belongs to root in /proc, not to its user."""
    # Who changes its user is not dumpable until it says so: prctl(PR_SET_DUMPABLE, 1).
    show = "import os, privyseald.hygiene, resource\nif os.getuid() == 0: os.setuid(65534)\n"
    show += "import ctypes; ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"
    show += "print(os.stat('/proc/self/mem').st_uid == os.getuid())\n" + _SHOW
    show += "print(os.stat('/proc/self/mem').st_uid)\n"
    show += "try: open('/proc/self/environ').read()\nexcept PermissionError: print('closed')\n"
    done = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, timeout=30, check=True
    )

    first, _, *rest = done.stdout.splitlines()
    assert ("True", ["0", "closed"]) == (first, rest)


def test_what_can_not_be_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no such call, or refuses, the operator is told what to do."""

    def refuse(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "setrlimit", refuse)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())

    first, second = hygiene.close_memory()

    assert "ulimit -c 0" in first
    assert "a user of its own" in second
