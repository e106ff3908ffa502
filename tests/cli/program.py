"""`privyseal` as a user runs it: commands in this process, servers as processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from privyseald.cli.app import app

_START_S = 30.0
_STOP_S = 20.0


def privyseal(*arguments: str, text: str | bytes | None = None) -> Result:
    """Run a command in this process, with `text` as its standard input."""
    return CliRunner().invoke(app, [str(each) for each in arguments], input=text)


class Process:
    """`privyseal` as a process. What it prints goes to two files in `directory`."""

    def __init__(
        self, directory: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.stdout_file = directory / "stdout.txt"
        self.stderr_file = directory / "stderr.txt"
        with self.stdout_file.open("wb") as stdout, self.stderr_file.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "privyseald", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=directory,
                env={**os.environ, **(environment or {})},
            )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def events(self) -> list[dict[str, Any]]:
        """Return what the server logged so far."""
        lines = self.stderr_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def wait_for_event(self, name: str) -> dict[str, Any]:
        """Return the first event of this name, once it is logged."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            for event in self.events():
                if event["event"] == name:
                    return event
            assert self._process.poll() is None, self.stderr_file.read_text()
            time.sleep(0.02)
        raise TimeoutError(f"no '{name}': {self.stderr_file.read_text()}")

    def wait_for_json(self) -> dict[str, Any]:
        """Return the JSON object on standard output, once it is whole."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            text = self.stdout_file.read_text()
            if text.endswith("}\n"):
                value: dict[str, Any] = json.loads(text)
                return value
            assert self._process.poll() is None, self.stderr_file.read_text()
            time.sleep(0.02)
        raise TimeoutError(self.stderr_file.read_text())

    def wait(self) -> int:
        """Wait for the end of a process that ends by itself, and return the exit code."""
        return self._process.wait(_START_S)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait, and return the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


@contextmanager
def running(
    directory: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run `privyseal` as a process until the end of the block."""
    process = Process(directory, *arguments, environment=environment)
    try:
        yield process
    finally:
        process.stop()


@dataclass(frozen=True, slots=True)
class Site:
    """A server from `privyseal init`, with venue servers behind it."""

    directory: Path
    sandbox: Mapping[str, Any]

    @property
    def client_file(self) -> Path:
        """The file that tells commands where the server is."""
        return self.directory / "client.toml"

    def privyseal(self, *arguments: str, text: str | bytes | None = None) -> Result:
        """Run a command against this server."""
        return privyseal(*arguments, "--client", str(self.client_file), text=text)


def prepare(directory: Path, venues: Mapping[str, str]) -> None:
    """Do what `privyseal init` tells a user to do, with the sandbox's venues."""
    result = privyseal("init", str(directory), "--port", "0")
    assert result.exit_code == 0, result.output
    with (directory / "privyseal.toml").open("a") as config:
        for venue, url in venues.items():
            config.write(f'\n[venues.{venue}]\nbase_urls = {{ production = "{url}" }}\n')


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Run venue servers and a server that signs for them."""
    (folder / "sandbox").mkdir(parents=True)
    with running(folder / "sandbox", "sandbox", "--json", "--port", "0") as sandbox:
        answer = sandbox.wait_for_json()
        directory = folder / "server"
        prepare(directory, answer["venues"])
        (folder / "log").mkdir()
        config_file = directory / "privyseal.toml"
        with running(folder / "log", "serve", "--config", str(config_file)) as server:
            port = server.wait_for_event("serving")["port"]
            server.wait_for_event("ready")
            client_file = directory / "client.toml"
            client_file.write_text(client_file.read_text().replace(":0", f":{port}"))
            yield Site(directory, answer)
