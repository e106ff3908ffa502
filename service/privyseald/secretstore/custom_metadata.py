"""A key's public facts as KV v2 custom metadata: short printable texts, none empty."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from privyseald.key import KeyState
from privyseald.secretstore.facts import KeyFacts

_MAX_BYTES = 512
_LABEL = "label."
_EMPTY = "="  # no label's value, so it can stand for the empty one
_PEM_HEAD = "-----BEGIN PUBLIC KEY-----\n"
_PEM_TAIL = "-----END PUBLIC KEY-----\n"
_STATES = {each.value: each for each in KeyState}


@dataclass(frozen=True, slots=True)
class Note:
    """What custom metadata says of a key; a key written by hand has an empty one."""

    facts: KeyFacts
    state: KeyState | None
    create_time_ms: int


def write_note(note: Note) -> dict[str, str]:
    """Return the custom metadata of a note, less what Vault would not take."""
    facts = note.facts
    texts = {
        "venue": facts.venue,
        "environment": facts.environment,
        "algorithm": facts.algorithm,
        "public_id": facts.public_id,
        "public_key": facts.public_key_pem.removeprefix(_PEM_HEAD)
        .removesuffix(_PEM_TAIL)
        .replace("\n", ""),
        "state": note.state.value if note.state else "",
        "create_time_ms": str(note.create_time_ms),
        **{_LABEL + name: value or _EMPTY for name, value in facts.labels.items()},
    }
    return {name: text for name, text in texts.items() if _fits(text)}


def read_note(custom: Mapping[str, str]) -> Note:
    """Return what custom metadata says; what it does not say stays empty."""
    created = custom.get("create_time_ms", "")
    facts = KeyFacts(
        venue=custom.get("venue", ""),
        environment=custom.get("environment", ""),
        algorithm=custom.get("algorithm", ""),
        public_id=custom.get("public_id", ""),
        public_key_pem=_pem(custom.get("public_key", "")),
        labels={
            name.removeprefix(_LABEL): "" if value == _EMPTY else value
            for name, value in custom.items()
            if name.startswith(_LABEL)
        },
    )
    return Note(
        facts=facts,
        state=_STATES.get(custom.get("state", "")),
        create_time_ms=int(created) if created.isdecimal() else 0,
    )


def _pem(text: str) -> str:
    """Return the PEM of one line of base64, nothing for what is none."""
    try:
        der = base64.b64decode(text, validate=True)
    except binascii.Error:
        return ""
    if not der:
        return ""
    lines = "".join(text[start : start + 64] + "\n" for start in range(0, len(text), 64))
    return _PEM_HEAD + lines + _PEM_TAIL


def _fits(text: str) -> bool:
    return text.isprintable() and 0 < len(text.encode()) <= _MAX_BYTES
