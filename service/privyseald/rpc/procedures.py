"""The table of RPCs, made from the contract's descriptors: none can be forgotten."""

from collections.abc import Mapping

from google.protobuf import message_factory
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from privyseal.v1 import hold_service_pb2, key_service_pb2, signing_service_pb2, venue_service_pb2
from privyseald.rpc.call import Procedure

CONTRACT: tuple[FileDescriptor, ...] = (
    signing_service_pb2.DESCRIPTOR,
    key_service_pb2.DESCRIPTOR,
    venue_service_pb2.DESCRIPTOR,
    hold_service_pb2.DESCRIPTOR,
)


def services() -> tuple[str, ...]:
    """Return the full names of the contract's services."""
    return tuple(
        sorted(service.full_name for file in CONTRACT for service in file.services_by_name.values())
    )


def procedures(servicers: Mapping[str, object]) -> dict[str, Procedure]:
    """Return every RPC of the contract by its full name, such as `privyseal.v1.X/Y`.

    `servicers` are by the service's full name. A method that is not there is a programmer's
    mistake.
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
    act = getattr(servicer, _snake(method.name))
    return Procedure(name, request, act, streams=method.server_streaming)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]
