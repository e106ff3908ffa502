"""The five clients: where they are, what they need, how they are built."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANGUAGES = ("go", "rust", "java", "typescript", "python")
_TOOLS = {
    "go": ("go",),
    "rust": ("cargo",),
    "java": ("java", "mvn"),
    "typescript": ("node", "npm"),
    "python": (),
}


@dataclass(frozen=True, slots=True)
class Client:
    """One language's folder."""

    language: str

    @property
    def folder(self) -> Path:
        """Where it is."""
        return ROOT / "clients" / self.language

    @property
    def runner(self) -> Path:
        """The program that does as it is told."""
        return self.folder / "conformance" / "run"

    @property
    def example(self) -> Path:
        """The program that runs an example."""
        return self.folder / "conformance" / "example"

    @property
    def missing(self) -> str:
        """The tool that this machine lacks; empty where it has all."""
        return next((tool for tool in _TOOLS[self.language] if shutil.which(tool) is None), "")

    def build(self) -> str:
        """Build the runner and the examples; return what went wrong, else nothing."""
        done = subprocess.run(
            ["make", "--no-print-directory", "-C", str(self.folder), "runner"],
            capture_output=True,
            text=True,
            check=False,
            env={name: value for name, value in os.environ.items() if name != "MAKEFLAGS"},
        )
        return "" if done.returncode == 0 else (done.stdout + done.stderr)[-3_000:]
