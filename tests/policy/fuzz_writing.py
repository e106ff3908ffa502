"""Writes forms and JSON texts in strange ways that mean the same, and in some that do not."""

import json
import random
from urllib.parse import quote

Pairs = list[tuple[str, object]]


class Writing:
    """Writes by the throw of a die."""

    def __init__(self, dice: random.Random) -> None:
        self._random = dice

    def form(self, pairs: list[tuple[str, str]]) -> str:
        """Return a form, with its marks and escapes as they should be or nearly so."""
        dice = self._random
        join = dice.choice(("&", "&", "&", ";", "&&", "&;", "&amp;"))
        return join.join(
            self._encoded(name)
            + dice.choice(("=", "=", "=", "", "==", "%3D")) * (value != "")
            + self._encoded(value)
            for name, value in pairs
        )

    def _encoded(self, text: str) -> str:
        dice = self._random
        quoted = quote(text.encode("utf-8", "surrogatepass"), safe="")
        return dice.choice(
            (
                quoted,
                quoted,
                quoted,
                text,
                quoted.replace("%20", "+"),
                quote(quoted, safe=""),
                "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass")[:99]),
            )
        )

    def json(self, pairs: Pairs, depth: int) -> bytes:
        """Return a JSON object, its keys as often as they come, escaped where none need be."""
        blank = self._random.choice(("", "", " ", "\n\t"))
        inner = f",{blank}".join(
            f"{self._json_text(name)}{blank}:{self._json_value(value, depth)}"
            for name, value in pairs
        )
        return f"{{{blank}{inner}}}".encode("utf-8", "surrogatepass")

    def _json_value(self, value: object, depth: int) -> str:
        dice = self._random
        if isinstance(value, str):
            # A number as a number: with its digits as they are.
            return value if dice.random() < 0.3 and value[:1].isdigit() else self._json_text(value)
        if isinstance(value, dict):
            return self.json([*value.items()], depth + 1).decode("utf-8", "surrogatepass")
        if isinstance(value, list):
            return f"[{','.join(self._json_value(each, depth + 1) for each in value)}]"
        return json.dumps(value)

    def _json_text(self, text: str) -> str:
        dice = self._random
        if dice.random() < 0.6 or not text:
            return json.dumps(text, ensure_ascii=dice.random() < 0.5)
        place = dice.randrange(len(text))
        escaped = json.dumps(text[:place])[1:-1] + f"\\u{ord(text[place]) & 0xFFFF:04x}"
        return f'"{escaped}{json.dumps(text[place + 1 :])[1:-1]}"'

    def spoilt(self, body: bytes) -> bytes:
        """Return a body that is no longer what it was."""
        dice = self._random
        place = dice.randrange(len(body) + 1)
        return dice.choice(
            (
                b"\xef\xbb\xbf" + body,
                body + body,
                body + b"\0",
                body[:place]
                + dice.choice((b"\xff", b"\0", b"//", b",", b"NaN", b"\xc0\xaf"))
                + body[place:],
                body[:place],
                b"[" + body + b"]",
                b"{" * 70,
                b"null",
                b'"' + body.replace(b'"', b'\\"') + b'"',
                body.replace(b"}", b",}"),
                body.decode("utf-8", "replace").encode("utf-16"),
            )
        )
