"""The contract's messages by RPC, to and from the JSON in which cases write them."""

import base64
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from privyseal.v1 import (
    hold_service_pb2,
    key_service_pb2,
    signing_service_pb2,
    venue_service_pb2,
)

_FILES: tuple[Any, ...] = (
    signing_service_pb2,
    key_service_pb2,
    venue_service_pb2,
    hold_service_pb2,
)

RPCS: Mapping[str, Any] = {
    method.name: method
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def encode(rpc: str, content: dict[str, Any]) -> str:
    """Return a request as base64. Raises ValueError naming what it does not have."""
    message = _new(RPCS[rpc].input_type)
    try:
        json_format.ParseDict(content, message)
    except json_format.ParseError as error:
        raise ValueError(f"{rpc}: {error}") from error
    return base64.b64encode(message.SerializeToString(deterministic=True)).decode()


def decode(rpc: str, answer: str) -> dict[str, Any]:
    """Return a response as JSON, with the fields' own names."""
    return as_json(RPCS[rpc].output_type, answer)


def as_json(descriptor: Any, answer: str) -> dict[str, Any]:
    """Return a message as JSON, unset fields too."""
    message = _new(descriptor)
    message.ParseFromString(base64.b64decode(answer, validate=True))
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def session(answer: str) -> dict[str, Any]:
    """Return a Session as JSON."""
    return as_json(signing_service_pb2.DESCRIPTOR.message_types_by_name["Session"], answer)


def _new(descriptor: Any) -> Message:
    message: Message = descriptor._concrete_class()
    return message
