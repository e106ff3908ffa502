"""One RPC on its way, free of any transport."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.key import Key


@dataclass(frozen=True, slots=True)
class Call:
    """What a servicer is told beside the request. `parts` get audit lines of their own; `uses`
    are the keys whose signatures or sessions are in the answer.
    """

    caller: Caller
    entry: Entry
    parts: list[Entry] = field(default_factory=list)
    uses: list[Key] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Procedure:
    """An RPC: its full name, the message that it takes, and the servicer's method.

    Where it `streams`, the method returns, once the call is admitted, an asynchronous iterator
    of messages; the parts that stand in the call when one comes are written before it goes out.
    """

    name: str
    request: type[Message]
    method: Callable[[Any, Call], Awaitable[Any]]
    streams: bool = False
