"""A real sentinel, which promotes the replica when the primary is gone for 1.5 s."""

from collections.abc import Sequence
from pathlib import Path

from valkey_server import ValkeyServer


class ValkeySentinel(ValkeyServer):
    """Watches one primary under a name. Its settings are in a file, which it rewrites itself."""

    def __init__(self, folder: Path, name: str, primary: ValkeyServer, settings: str = "") -> None:
        super().__init__(folder)
        self.name = name
        self._file = folder / "sentinel.conf"
        self._file.write_text(
            f"""\
port {self.port}
bind 127.0.0.1
dir {folder}
sentinel monitor {name} 127.0.0.1 {primary.port} 1
sentinel down-after-milliseconds {name} 1500
sentinel failover-timeout {name} 2000
{settings}
"""
        )

    @property
    def url(self) -> str:
        """What `state.url` is to hold."""
        return f"valkey+sentinel://127.0.0.1:{self.port}/{self.name}/0"

    def knows_replica(self) -> bool:
        """Whether there is a replica to promote."""
        return b"slave-priority" in self.command("SENTINEL", "REPLICAS", self.name)

    def primary_port(self) -> int:
        """Return where the primary is, as the sentinel knows it."""
        return int(self.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name).split(b"\r\n")[4])

    def _arguments(self) -> Sequence[str]:
        return (str(self._file), "--sentinel")
