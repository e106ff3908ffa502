"""What goes in first when it is crowded, and how much room it takes. Told from the message alone,
before anything is looked up.
"""

from google.protobuf.message import Message

from privyseal.v1.signing_service_pb2 import BatchSignRequest, SignRequest
from privyseald.venues.operation_table import OperationTable, canonical_path
from privyseald.venues.registry import Venues

# They stop things, or end them.
_URGENT = frozenset(
    {
        "privyseal.v1.SigningService/Logout",
        "privyseal.v1.KeyService/DisableKey",
        "privyseal.v1.HoldService/CreateHold",
        "privyseal.v1.HoldService/ListHolds",
        "privyseal.v1.HoldService/DeleteHold",
    }
)
_LONGEST_PATH = 512
# The requests of a batch are signed one after the other: so many take the room of one more RPC.
_REQUESTS_PER_PLACE = 10


class Priority:
    """Knows what is urgent: cancels of orders, and what stops keys, sessions and signing.

    Which venue a key is of is not known yet, so a request counts as a cancel that would be one at
    any venue. It gains a place where cancels go, and nothing else by that.
    """

    def __init__(self, venues: Venues) -> None:
        self._cancels = OperationTable(
            operation
            for venue in venues
            for operation in venue.operations
            if "cancel" in operation.tags
        )

    def is_urgent(self, procedure: str, request: Message) -> bool:
        """Whether it goes in where orders wait."""
        if isinstance(request, SignRequest):
            return self._cancels_orders(request)
        if isinstance(request, BatchSignRequest):
            return all(map(self._cancels_orders, request.requests))
        return procedure in _URGENT

    def _cancels_orders(self, request: SignRequest) -> bool:
        http = request.http_request
        path = http.path.partition("?")[0]
        if not path or len(path) > _LONGEST_PATH:
            return False
        return self._cancels.find(http.method, canonical_path(path)) is not None


def places_of(request: Message) -> int:
    """Return how much room a request takes, in RPCs."""
    if isinstance(request, BatchSignRequest):
        return 1 + len(request.requests) // _REQUESTS_PER_PLACE
    return 1
