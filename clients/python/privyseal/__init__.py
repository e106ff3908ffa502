"""Python client of the Privyseal signing service: stubs, connection, typed errors."""

from privyseal.connection import Connection, Credentials, PrivysealError
from privyseal.plain import to_plain

__all__ = ["Connection", "Credentials", "PrivysealError", "to_plain"]
