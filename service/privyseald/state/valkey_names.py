"""What is called how in a Valkey that others may use too.

The braces stand in the keys: all of a deployment is then in one slot of a cluster, and a script
may touch several of its keys.
"""


class Names:
    """The keys and the channel of one deployment."""

    def __init__(self, prefix: str) -> None:
        self._base = f"{{{prefix}}}"
        self.epoch = f"{self._base}:epoch"
        self.versions = f"{self._base}:versions"
        self.kinds = f"{self._base}:kinds"
        self.signals = f"{self._base}:signals"
        self.values = f"{self._base}:value:"
        self.kind = f"{self._base}:names:"

    def counter(self, name: str) -> str:
        """Return a counter's key."""
        return f"{self._base}:counter:{name}"

    def spent(self, name: str) -> str:
        """Return the key of what was spent under a name."""
        return f"{self._base}:spent:{name}"

    def value(self, name: str) -> str:
        """Return a value's key."""
        return self.values + name

    def names(self, kind: str) -> str:
        """Return the key of the set of all names of a kind."""
        return self.kind + kind


def kind_of(name: str) -> str:
    """Return what stands before the first slash."""
    kind, slash, _ = name.partition("/")
    return kind if slash else ""
