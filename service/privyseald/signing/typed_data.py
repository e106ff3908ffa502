"""The rules of EIP-712 that wallets hold to and libraries let slip.

eth-account pads short bytes, takes a missing field for zero and leaves out what no type names.
A signature over such a document covers something else than what was shown, so it is refused.
"""

import re

from privyseald.signing.secp256k1 import checksum_address
from privyseald.strict_json import JsonValue, is_number

_PARTS = frozenset({"types", "primaryType", "domain", "message"})
_ARRAY = re.compile(r"(.+)\[([0-9]*)\]")
_INTEGER = re.compile(r"u?int[0-9]*")
_INTEGER_TEXT = re.compile(r"-?[0-9]{1,78}|0x[0-9a-fA-F]{1,64}")
_FIXED_BYTES = re.compile(r"bytes([0-9]+)")
_TEXTS = {
    "string": re.compile(r".*", re.DOTALL),
    "bytes": re.compile(r"0x(?:[0-9a-fA-F]{2})*"),
    "address": re.compile(r"0x[0-9a-fA-F]{40}"),
}
_STRUCT = re.compile(
    r"(?!(?:bool|string|address|bytes[0-9]*|u?int[0-9]*)$)[A-Za-z_$][\w$]*", re.ASCII
)
_NAME = re.compile(r"[A-Za-z_$][\w$ ]*", re.ASCII)  # Aster's names hold blanks

Types = dict[str, dict[str, str]]


def check(document: dict[str, JsonValue]) -> None:
    """Raise ValueError where the document can be read in two ways, or holds what is not signed."""
    if document.keys() != _PARTS:
        raise ValueError("the document's parts are types, primaryType, domain and message")
    types = _types(document["types"])
    _check(document["domain"], "EIP712Domain", types, "domain")
    _check(document["message"], str(document["primaryType"]), types, "message")


def _types(value: JsonValue) -> Types:
    if not isinstance(value, dict):
        raise TypeError("types must be an object")
    if not all(_STRUCT.fullmatch(name) for name in value):
        raise ValueError("a type's name must be an identifier, and none of EIP-712's own types")
    return {name: _fields(fields, name) for name, fields in value.items()}


def _fields(value: JsonValue, of: str) -> dict[str, str]:
    if not isinstance(value, list):
        raise TypeError(f"type '{of}' must be a list of fields")
    fields: dict[str, str] = {}
    for field in value:
        if not isinstance(field, dict) or field.keys() != {"name", "type"}:
            raise ValueError(f"a field of type '{of}' must hold name and type, and no more")
        name, kind = field["name"], field["type"]
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in fields:
            raise ValueError(f"a field of type '{of}' has no proper name, or stands twice")
        if not isinstance(kind, str):
            raise TypeError(f"a field of type '{of}' must name its type")
        fields[name] = kind
    return fields


def _check(value: JsonValue, kind: str, types: Types, path: str) -> None:
    array = _ARRAY.fullmatch(kind)
    if array:
        _check_array(value, array[1], array[2], types, path)
    elif kind in types:
        fields = types[kind]
        if not isinstance(value, dict) or value.keys() != fields.keys():
            raise ValueError(f"{path} must hold the fields of '{kind}', all of them and no more")
        for name, child in fields.items():
            _check(value[name], child, types, f"{path}.{name}")
    elif not _is_atom(value, kind):
        raise ValueError(f"{path} is no value of type '{kind}'")


def _check_array(value: JsonValue, kind: str, length: str, types: Types, path: str) -> None:
    if not isinstance(value, list) or (length and len(value) != int(length)):
        raise ValueError(f"{path} must be a list of {length or 'any number of'} values")
    for index, child in enumerate(value):
        _check(child, kind, types, f"{path}[{index}]")


def _is_atom(value: JsonValue, kind: str) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if not isinstance(value, str):
        return False
    if _INTEGER.fullmatch(kind):
        return is_number(value) or bool(_INTEGER_TEXT.fullmatch(value))
    if is_number(value) or not _is_text(value, kind):
        return False
    return kind != "address" or _is_sound(value)


def _is_text(value: str, kind: str) -> bool:
    fixed = _FIXED_BYTES.fullmatch(kind)
    if fixed and len(value) != 2 + 2 * int(fixed[1]):
        return False
    pattern = _TEXTS.get("bytes" if fixed else kind)
    return bool(pattern and pattern.fullmatch(value))


def _is_sound(address: str) -> bool:
    """Whether an address in mixed case has the checksum of EIP-55; others have none to check."""
    digits = address[2:]
    if digits in {digits.lower(), digits.upper()}:
        return True
    return address == checksum_address(bytes.fromhex(digits))
