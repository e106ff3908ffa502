"""Which kind of key a document is, checked field by field against what the venue states."""

from collections.abc import Mapping

from privyseald.errors import (
    AlgorithmUnsupported,
    CredentialMalformed,
    FieldInvalid,
    OptionUnknown,
)
from privyseald.key import Algorithm
from privyseald.signing.signer import Credential
from privyseald.venues.venue import Field, KeyKind, Venue


def key_kind(venue: Venue, algorithm: str) -> KeyKind:
    """Return the venue's kind of key of this algorithm. Raises AlgorithmUnsupported."""
    for kind in venue.key_kinds:
        if kind.algorithm == algorithm:
            return kind
    known = ", ".join(kind.algorithm for kind in venue.key_kinds)
    raise AlgorithmUnsupported(
        f"{venue.name} takes no keys of this algorithm; it takes {known}",
        metadata={"venue": venue.name, "algorithm": algorithm[:64]},
    )


def algorithm_of(venue: Venue, text: str, field: str = "algorithm") -> Algorithm:
    """Return the algorithm that a caller named; the venue's first where `text` is empty."""
    if not text:
        return venue.key_kinds[0].algorithm
    try:
        algorithm = Algorithm(text)
    except ValueError as error:
        known = ", ".join(each.value for each in Algorithm)
        raise FieldInvalid(field, f"is no algorithm; give one of {known}") from error
    return key_kind(venue, algorithm).algorithm


def check_fields(kind: KeyKind, fields: Mapping[str, str], path: str = "fields") -> None:
    """Raise FieldInvalid where a field is missing, unknown or malformed."""
    known = {each.name: each for each in kind.fields}
    for name in fields:
        if name not in known:
            raise FieldInvalid(
                f"{path}[{name[:64]}]",
                "is no field of this kind of key; it has " + (", ".join(known) or "none"),
            )
    for each in kind.fields:
        _check_field(each, fields.get(each.name), f"{path}[{each.name}]")


def check_options(options: Mapping[str, str], known: tuple[Field, ...], path: str) -> None:
    """Raise OptionUnknown or FieldInvalid where an option is unknown or malformed."""
    names = {each.name for each in known}
    for name in options:
        if name not in names:
            raise OptionUnknown(
                f"{path}[{name[:64]}]",
                "is no option here; known are " + (", ".join(sorted(names)) or "none"),
            )
    for each in known:
        _check_field(each, options.get(each.name), f"{path}[{each.name}]")


def check_credential(venue: Venue, credential: Credential) -> KeyKind:
    """Return the kind of an opened key. Raises CredentialMalformed naming the field."""
    key = credential.key
    try:
        kind = key_kind(venue, key.algorithm)
        check_fields(kind, credential.fields, "")
    except AlgorithmUnsupported as error:
        raise malformed(key.name, "algorithm", error.message) from error
    except FieldInvalid as error:
        raise malformed(key.name, error.field.strip("[]"), error.description) from error
    return kind


def _check_field(rule: Field, value: str | None, path: str) -> None:
    if value is None:
        if rule.required:
            raise FieldInvalid(path, f"is missing: {rule.about}")
    elif not rule.pattern.fullmatch(value):
        example = f", as in '{rule.example}'" if rule.example else ""
        raise FieldInvalid(path, f"is malformed: {rule.about}{example}")


def malformed(key_name: str, field: str, problem: str) -> CredentialMalformed:
    """Return the error for a key document that a custodian must correct."""
    return CredentialMalformed(
        f"the key's document in the secret store is malformed: field '{field}' {problem}; "
        "a custodian must correct it",
        metadata={"key": key_name, "field": field},
    )
