"""How a key came about: what a retry, or an operator after a crash, must know of it."""

from dataclasses import dataclass

from privyseald.key import Key, KeyState
from privyseald.secretstore.document import KeyDocument


@dataclass(frozen=True, slots=True)
class Order:
    """What a venue is asked for, and by which attempt. It stands in the reservation."""

    using_key_id: str = ""
    description: str = ""
    attempt: str = ""

    def to_fields(self) -> dict[str, str]:
        """Return the fields of the reservation's document."""
        return {
            "using_key": self.using_key_id,
            "description": self.description,
            "attempt": self.attempt,
        }


@dataclass(frozen=True, slots=True)
class Origin:
    """The request that made a key, and of a reservation also what the venue was asked for."""

    key: Key
    request_id: str
    order: Order
    is_in_transit: bool = False

    @classmethod
    def of(cls, key: Key, document: KeyDocument) -> "Origin":
        """Return the origin that a document tells of."""
        order = Order()
        if document.state is KeyState.CREATING:
            order = Order(
                document.fields.get("using_key", ""),
                document.fields.get("description", ""),
                document.fields.get("attempt", ""),
            )
        return cls(key, document.request_id, order, document.transit is not None)

    @property
    def is_reservation(self) -> bool:
        """Whether the key is not there yet."""
        return self.key.state is KeyState.CREATING

    @property
    def advice(self) -> str:
        """What to do about a reservation of which nobody knows whether the venue issued a key."""
        key = self.key
        if not self.order.using_key_id:
            return f"no venue was asked; 'privyseal keys delete {key.key_id}' and begin anew"
        return (
            f"look at {key.venue} ({key.environment}) for a key named "
            f"'{self.order.description}', on the account of keys/{self.order.using_key_id}, and "
            f"remove it there; then 'privyseal keys delete {key.key_id}' and begin anew"
        )
