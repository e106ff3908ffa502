"""Python client of the Privyseal signing service: stubs, connection, typed errors."""
