"""A key as commands print it."""

from privyseal import to_plain
from privyseal.v1 import key_pb2
from privyseald.cli.output import print_facts, print_json


def show_key(key: key_pb2.Key, *, as_json: bool) -> None:
    """Print the public facts, for people or for machines."""
    if as_json:
        print_json(to_plain(key))
        return
    print_facts(
        (
            ("key", key.name),
            ("venue", f"{key.venue} {key.environment}".strip()),
            ("algorithm", key.algorithm),
            ("public id", key.public_id),
            ("public key", key.public_key_pem.strip()),
            ("state", state_name(key)),
            ("version", str(key.version)),
            ("labels", ", ".join(f"{name}={value}" for name, value in sorted(key.labels.items()))),
            ("created", key.create_time.ToJsonString()),
        )
    )


def state_name(key: key_pb2.Key) -> str:
    """Return the state, as people write it."""
    return key_pb2.KeyState.Name(key.state).removeprefix("KEY_STATE_")
