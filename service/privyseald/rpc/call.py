"""One RPC on its way, free of any transport."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from privyseald.audit.entry import Entry
from privyseald.caller import Caller


@dataclass(frozen=True, slots=True)
class Call:
    """What a servicer is told beside the request."""

    caller: Caller
    entry: Entry


@dataclass(frozen=True, slots=True)
class Procedure:
    """An RPC: its full name, the message that it takes, and the servicer's method."""

    name: str
    request: type[Message]
    method: Callable[[Any, Call], Awaitable[Message]]
    streams: bool = False
