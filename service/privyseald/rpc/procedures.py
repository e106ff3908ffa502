"""The table of RPCs, made from the contract's descriptors: none can be forgotten."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from privyseal.v1 import hold_service_pb2, key_service_pb2, signing_service_pb2, venue_service_pb2
from privyseald.errors import RpcNotImplemented
from privyseald.rpc.call import Call, Procedure

CONTRACT: tuple[FileDescriptor, ...] = (
    signing_service_pb2.DESCRIPTOR,
    key_service_pb2.DESCRIPTOR,
    venue_service_pb2.DESCRIPTOR,
    hold_service_pb2.DESCRIPTOR,
)
# Part of the contract, not of this release; each answers UNIMPLEMENTED with a reason.
LATER = frozenset(
    {
        "privyseal.v1.SigningService/WatchSession",
    }
)


def services() -> tuple[str, ...]:
    """Return the full names of the contract's services."""
    return tuple(
        sorted(service.full_name for file in CONTRACT for service in file.services_by_name.values())
    )


def procedures(servicers: Mapping[str, object]) -> dict[str, Procedure]:
    """Return every RPC of the contract by its full name, such as `privyseal.v1.X/Y`.

    `servicers` are by the service's full name. A method that is neither there nor named as
    one for later is a programmer's mistake.
    """
    table: dict[str, Procedure] = {}
    for file in CONTRACT:
        for service in file.services_by_name.values():
            for method in service.methods:
                name = f"{service.full_name}/{method.name}"
                table[name] = _procedure(name, method, servicers.get(service.full_name))
    return table


def _procedure(name: str, method: MethodDescriptor, servicer: object) -> Procedure:
    request = message_factory.GetMessageClass(method.input_type)
    if name in LATER:
        return Procedure(name, request, _later, streams=method.server_streaming)
    return Procedure(name, request, getattr(servicer, _snake(method.name)))


async def _later(_request: Any, call: Call) -> Any:
    raise RpcNotImplemented(
        "this RPC comes with a later release; CHANGELOG.md says what this one has",
        metadata={"rpc": call.entry.rpc},
    )


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]
