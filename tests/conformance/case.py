"""The cases that all clients share, read strictly."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CASES = Path(__file__).parents[2] / "clients" / "cases"
_PLACE = re.compile(r"\$\{([a-z_0-9]+)\}")


@dataclass(frozen=True, slots=True)
class Case:
    """What one behaviour looks like from outside, step by step."""

    name: str
    about: str
    steps: tuple[Mapping[str, Any], ...]
    file: str

    @property
    def sends(self) -> bool:
        """Whether it goes through a native door, and so is run once for each."""
        return any(step.get("do") == "send" for step in self.steps)


def load_cases(folder: Path = CASES) -> list[Case]:
    """Return all cases, file by file. Raises ValueError naming what is wrong."""
    cases: list[Case] = []
    for path in sorted(folder.glob("*.json")):
        for entry in json.loads(path.read_text()):
            if set(entry) != {"name", "about", "steps"} or not entry["steps"]:
                raise ValueError(f"{path.name}: a case has name, about and steps: {entry}")
            cases.append(Case(entry["name"], entry["about"], tuple(entry["steps"]), path.stem))
    names = [case.name for case in cases]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"there is more than one case {', '.join(sorted(twice))}")
    return cases


def filled(value: Any, names: Mapping[str, str]) -> Any:
    """Return a step with `${name}` replaced. Raises KeyError for a name that nobody gave."""
    if isinstance(value, str):
        return _PLACE.sub(lambda match: names[match[1]], value)
    if isinstance(value, Mapping):
        return {key: filled(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, names) for each in value]
    return value


def pointed(value: Any, pointer: str) -> Any:
    """Return what a JSON pointer points at. Raises LookupError."""
    for part in pointer.split("/")[1:]:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value
