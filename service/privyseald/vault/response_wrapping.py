"""Taking a secret out of a response-wrapping token, after a look at what was wrapped."""

import re

from privyseald.errors import FieldInvalid
from privyseald.signing.secret import SecretBytes
from privyseald.vault.answers import read_text
from privyseald.vault.connection import Answer, VaultConnection
from privyseald.vault.errors import PathMissing, RequestRefused, TokenRefused

_FIELD = "wrapping_token"
_TOKEN = re.compile(rb"[\x21-\x7e]{1,4096}")
_WRAPPED_AT = re.compile(r"(?:[^/]+/)+data/.+|(?:[^/]+/)*sys/wrapping/wrap")
_SPENT = (
    "was already used, or has expired: treat the secret as seen, and make a new one, of a new "
    "secret where the venue can issue one"
)


async def unwrap(connection: VaultConnection, token: SecretBytes, name: str) -> SecretBytes:
    """Return the field `name` of what the token holds. After that the token is spent.

    A token that holds something else than a KV version 2 document, or what somebody gave to
    `sys/wrapping/wrap`, is left as it is. Raises FieldInvalid.
    """
    if not _TOKEN.fullmatch(token.reveal()):
        raise FieldInvalid(_FIELD, "is no token; give the text of 'wrapping_token' alone")
    found = await _ask(connection, "lookup", None, {"token": token.reveal().decode()})
    if not _WRAPPED_AT.fullmatch(read_text(found, "creation_path")):
        raise FieldInvalid(
            _FIELD,
            "wraps neither a KV version 2 document nor what was given to sys/wrapping/wrap; make "
            f"one with 'vault write -wrap-ttl=10m sys/wrapping/wrap {name}=@FILE'",
        )
    answer = await _ask(connection, "unwrap", token, {})
    match answer:
        case {"data": {"data": dict(document), "metadata": dict()}} | {"data": dict(document)}:
            if isinstance(text := document.get(name), str):
                return SecretBytes(text)
    raise FieldInvalid(
        _FIELD, f"is spent, and held no text '{name}'; wrap the secret under that name"
    )


async def _ask(
    connection: VaultConnection, verb: str, token: SecretBytes | None, body: Answer
) -> Answer:
    try:
        return await connection.post(f"sys/wrapping/{verb}", token, body)
    except (RequestRefused, TokenRefused, PathMissing):
        pass
    raise FieldInvalid(_FIELD, _SPENT)
