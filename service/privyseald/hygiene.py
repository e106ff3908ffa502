"""Keeping this process's memory out of files and out of other processes' reach."""

import ctypes
import resource

_PR_SET_DUMPABLE = 4


def close_memory() -> tuple[str, ...]:
    """Allow no core dump and no debugger of the same user; return what could not be done.

    The limit stops core files. It does not stop a dump that the kernel pipes to a program, as
    systemd has it; a process that is not dumpable gives none of either kind, and its
    /proc/PID/mem and its ptrace are for root alone.
    """
    failed: list[str] = []
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        failed.append("core files can't be forbidden; start the server under 'ulimit -c 0'")
    if not _set_undumpable():
        failed.append(
            "other processes of this user can read the server's memory; run it on Linux, "
            "under a user of its own"
        )
    return tuple(failed)


def _set_undumpable() -> bool:
    """Call prctl(2), which Linux alone has."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    return prctl is not None and prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
