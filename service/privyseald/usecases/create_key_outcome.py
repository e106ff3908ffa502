"""What to tell of a key creation that did not end as it should, or that came before."""

from privyseald.clock import Clock
from privyseald.errors import (
    KeyCreating,
    KeyEscrowed,
    KeyExists,
    KeyUnknown,
    PreconditionFailed,
    PrivysealError,
    SecretStoreForbidden,
    Unavailable,
    VenueOutcomeUnknown,
)
from privyseald.secretstore.document import KeyDocument
from privyseald.secretstore.origin import Origin
from privyseald.secretstore.store import SecretStore

_RETRY_MS = 1_000


async def origin_of_request(
    store: SecretStore, key_id: str, document: KeyDocument, taken: KeyExists
) -> Origin:
    """Return what stands at a key id that is taken, if the request of `document` put it there.

    Raises `taken` if not.
    """
    try:
        origin = await store.origin(key_id)
    except (KeyUnknown, PreconditionFailed):
        raise taken from None
    if (origin.request_id, origin.key.venue) != (document.request_id, document.venue):
        raise taken
    return origin


def may_be_under_way(origin: Origin, clock: Clock, longest_ms: int) -> bool:
    """Whether another replica may work on a reservation still."""
    return clock.time_us() // 1_000 - origin.key.create_time_ms < longest_ms


def under_way(origin: Origin) -> KeyCreating:
    """Return the refusal for a reservation that may yet become a key."""
    return KeyCreating(
        f"{origin.key.name} is being created by this very request; ask again in a moment",
        metadata={"key": origin.key.name},
        retry_after_ms=_RETRY_MS,
    )


def left_behind(origin: Origin) -> KeyCreating | VenueOutcomeUnknown:
    """Return the refusal for a reservation that nobody works on any more."""
    key, order = origin.key, origin.order
    if not order.using_key_id:
        return KeyCreating(
            f"{key.name} was never completed: {origin.advice}", metadata={"key": key.name}
        )
    return VenueOutcomeUnknown(
        f"whether {key.venue} issued a key for {key.name} is not known, so it is not asked "
        f"again: {origin.advice}",
        metadata={
            "key": key.name,
            "venue": key.venue,
            "usingKey": f"keys/{order.using_key_id}",
            "description": order.description,
        },
    )


def is_passing(failure: PrivysealError) -> bool:
    """Whether the store may take a key later by itself."""
    return isinstance(failure, Unavailable | SecretStoreForbidden)


def blocked(key_id: str, cause: str) -> KeyEscrowed:
    """Return the refusal for an issued key that the store will not take as things stand."""
    return KeyEscrowed(
        f"the venue issued the key for keys/{key_id}, but the store does not take it ({cause}); "
        "it is safe in escrow: free the id, or correct what stands there, and the server moves "
        "it in by itself; 'privyseal keys reconcile' shows what waits",
        metadata={"key": f"keys/{key_id}", "cause": cause},
    )


def lost(key_id: str, failure: PrivysealError) -> VenueOutcomeUnknown:
    """Return the refusal for an issued key that neither escrow nor the store could keep."""
    return VenueOutcomeUnknown(
        f"the venue issued a key, but it could be written neither into escrow nor into the "
        f"secret store ({failure.reason}); remove that key at the venue, delete keys/{key_id}, "
        "and begin anew",
        metadata={"key": f"keys/{key_id}", "cause": failure.reason},
    )
