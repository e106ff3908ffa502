"""Dying with the parent process: a promise of the kernel, for as long as nothing is to be saved."""

import ctypes
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent(*, wanted: bool) -> None:
    """Be killed at the moment that the parent ends, or no longer. Only Linux can do it."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL if wanted else 0, 0, 0, 0)
