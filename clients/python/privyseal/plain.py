"""Messages as plain values, for printing and logging."""

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def to_plain(message: Message) -> dict[str, Any]:
    """Return the message as proto JSON's plain values, with the fields' own names.

    A signed request or a session is a credential: think before you print one.
    """
    return MessageToDict(message, preserving_proto_field_name=True)
