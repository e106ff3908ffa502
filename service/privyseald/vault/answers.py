"""Vault's answers, read strictly into values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from privyseald.signing.secret import SecretBytes
from privyseald.vault.auth import VaultToken
from privyseald.vault.errors import answer_malformed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """The current version of a KV v2 path."""

    data: Mapping[str, object] = field(repr=False)
    version: int
    create_time_ms: int
    custom_metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SecretMetadata:
    """A KV v2 path without its secret."""

    version: int
    create_time_ms: int
    version_time_ms: int
    custom_metadata: Mapping[str, str]
    is_destroyed: bool
    deletion_time_ms: int

    def is_deleted(self, now_ms: int) -> bool:
        """Whether the current version can't be read; a deletion may also lie ahead."""
        return self.is_destroyed or 0 < self.deletion_time_ms <= now_ms


def read_version(answer: Mapping[str, object]) -> SecretVersion:
    """Return the answer of a data read. Raises SecretStoreUnreachable, as all here do."""
    match answer:
        case {
            "data": {
                "data": dict(data),
                "metadata": {"version": int(version), "created_time": str(created), **rest},
            }
        }:
            return SecretVersion(data, version, _ms(created), _texts(rest.get("custom_metadata")))
    raise answer_malformed()


def read_metadata(answer: Mapping[str, object]) -> SecretMetadata:
    """Return the answer of a metadata read."""
    match answer:
        case {
            "data": {
                "current_version": int(version),
                "created_time": str(created),
                "versions": dict(versions),
                **rest,
            }
        }:
            match versions.get(str(version)):
                case {
                    "created_time": str(version_created),
                    "deletion_time": str(deletion),
                    "destroyed": bool(is_destroyed),
                }:
                    pass
                case _:
                    version_created, deletion, is_destroyed = created, "", True
            return SecretMetadata(
                version=version,
                create_time_ms=_ms(created),
                version_time_ms=_ms(version_created),
                custom_metadata=_texts(rest.get("custom_metadata")),
                is_destroyed=is_destroyed,
                deletion_time_ms=_ms(deletion) if deletion else 0,
            )
    raise answer_malformed()


def read_may_read(answer: Mapping[str, object], path: str) -> bool:
    """Return whether the capabilities on a path have `read` among them."""
    match answer:
        case {"data": dict(data)}:
            match data.get(path):
                case list(capabilities):
                    return "read" in capabilities or "root" in capabilities
    raise answer_malformed()


def read_written(answer: Mapping[str, object]) -> tuple[int, int]:
    """Return the version and the time of a data write."""
    match answer:
        case {"data": {"version": int(version), "created_time": str(created)}}:
            return version, _ms(created)
    raise answer_malformed()


def read_names(answer: Mapping[str, object]) -> list[str]:
    """Return the names of a list."""
    match answer:
        case {"data": {"keys": list(names)}}:
            return [name for name in names if isinstance(name, str)]
    raise answer_malformed()


def read_login(answer: Mapping[str, object]) -> VaultToken:
    """Return the token of a login or a renewal."""
    match answer:
        case {
            "auth": {
                "client_token": str(text),
                "lease_duration": int(life_s),
                "renewable": bool(renewable),
            }
        }:
            return VaultToken(SecretBytes(text), life_s * 1_000, renewable)
    raise answer_malformed()


def read_lookup(text: SecretBytes, answer: Mapping[str, object]) -> VaultToken:
    """Return the token whose look-up this is; a root token has no end and no `renewable`."""
    match answer:
        case {"data": {"ttl": int(life_s), "expire_time": ends, **rest}}:
            # In its last second a token has a `ttl` of 0 as well, which must not mean for ever.
            life_ms = 0 if ends is None else max(life_s, 1) * 1_000
            return VaultToken(text, life_ms, rest.get("renewable") is True)
    raise answer_malformed()


def read_text(answer: Mapping[str, object], name: str) -> str:
    """Return a text field of the answer's data."""
    match answer:
        case {"data": dict(data)} if isinstance(text := data.get(name), str):
            return text
    raise answer_malformed()


def read_is_kv2(answer: Mapping[str, object]) -> bool:
    """Return whether a mount is a KV engine of version 2."""
    match answer:
        case {"data": {"type": "kv", "options": {"version": "2"}}}:
            return True
    return False


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {str(name): text for name, text in value.items() if isinstance(text, str)}


def _ms(text: str) -> int:
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, TypeError):
        pass
    raise answer_malformed()
