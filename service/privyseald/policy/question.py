"""What policy is asked: who wants what of which key, and with which request."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from privyseald.caller import Caller
from privyseald.key import Key
from privyseald.policy.action import Action
from privyseald.strict_json import JsonValue
from privyseald.venues.http_request import HttpRequest
from privyseald.venues.operation_table import OperationTable, canonical_path
from privyseald.venues.venue import Coverage, Operation


@dataclass(frozen=True, slots=True)
class Question:
    """A wish before it is granted. `request` is what will be signed, not what was asked for.

    `key` is None, and `venue` empty, where they are not known: a rule that denies and looks at
    them takes that for a match.

    `operations` are all that the signature could be used for; the one that the request names
    comes first. None stands for a request that the venue's table does not know.
    """

    caller: Caller
    action: Action
    key_id: str
    key: Key | None = None
    venue: str = ""
    coverage: Coverage = Coverage.PATH_AND_BODY
    request: HttpRequest | None = field(default=None, repr=False)
    path: str = ""
    operations: tuple[Operation | None, ...] = ()
    typed_data: Mapping[str, JsonValue] | None = field(default=None, repr=False)


def ask_of_request(
    caller: Caller, key: Key, request: HttpRequest, coverage: Coverage, table: OperationTable
) -> Question:
    """Return the question of a normalised request."""
    path = canonical_path(request.path)
    operations: list[Operation | None] = [table.find(request.method, path)]
    if coverage is Coverage.PARAMETERS:
        operations += [each for each in table.usable_for(request) if each not in operations]
    return Question(
        caller,
        Action.SIGN,
        key.key_id,
        key,
        key.venue,
        coverage,
        request,
        path,
        tuple(operations),
    )
