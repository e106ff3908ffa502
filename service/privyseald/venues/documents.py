"""What a venue's file may offer where its keys sign documents and messages beside requests."""

from collections.abc import Mapping
from typing import Protocol, TypeGuard

from privyseald.strict_json import JsonValue
from privyseald.venues.venue import Operation, Venue


class DocumentVenue(Venue, Protocol):
    """A venue that knows its own among the documents and messages that a wallet may sign.

    Without it they would be a way past the rules for requests.
    """

    def read_typed_data(self, document: Mapping[str, JsonValue]) -> Operation | None:
        """Return what an EIP-712 document does at the venue; None where it is not the venue's.

        Raises IntentUnsupported where it is the form in which requests are signed. The document
        is not checked yet; one that is malformed will not be signed.
        """

    def check_message(self, message: bytes) -> None:
        """Raise IntentUnsupported where an EIP-191 message does something at the venue that has
        a procedure of its own.
        """


def reads_documents(venue: Venue) -> TypeGuard[DocumentVenue]:
    """Whether the venue knows its own documents."""
    return hasattr(venue, "read_typed_data")


def known_operations(venue: Venue, wish: bytes | Mapping[str, JsonValue]) -> tuple[Operation, ...]:
    """Return what a message or a document does at the venue, as far as the venue knows.

    Raises IntentUnsupported where it would be a way past the rules for something else.
    """
    if not reads_documents(venue):
        return ()
    if isinstance(wish, bytes):
        venue.check_message(wish)
        return ()
    operation = venue.read_typed_data(wish)
    return (operation,) if operation else ()
