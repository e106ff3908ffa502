"""One generated request: readable when it fails, and kept in a file from then on."""

import json
from dataclasses import dataclass
from pathlib import Path

SEEDS = Path(__file__).parent / "seeds"


@dataclass(frozen=True, slots=True)
class Case:
    """What a caller asks to sign. `target` may carry a query; `query` are parameters beside it.

    `policy` names one of the policies that `fuzz_policies` describes.
    """

    venue: str
    policy: str
    method: str
    target: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = ""

    def __str__(self) -> str:
        query = "".join(f"\n  {name!r} = {value!r}" for name, value in self.query)
        return (
            f"{self.venue} under '{self.policy}':\n  {self.method} {self.target!r}{query}\n"
            f"  {self.content_type!r}\n  {self.body!r}\n  as a seed: {self.dump()}"
        )

    def dump(self) -> str:
        """Return it as the JSON of a file in `seeds`."""
        return json.dumps(
            {
                "venue": self.venue,
                "policy": self.policy,
                "method": self.method,
                "target": self.target,
                "query": self.query,
                "body": self.body.decode("latin-1"),
                "content_type": self.content_type,
            }
        )


def load_case(text: str) -> Case:
    """Return the case of a seed's JSON."""
    found = json.loads(text)
    found["query"] = tuple((name, value) for name, value in found["query"])
    found["body"] = found["body"].encode("latin-1")
    return Case(**found)


def seeds() -> list[tuple[str, Case]]:
    """Return what once went past the policy, or nearly, by the file's name."""
    return [(path.stem, load_case(path.read_text())) for path in sorted(SEEDS.glob("*.json"))]
