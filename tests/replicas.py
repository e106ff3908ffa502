"""Several servers that act as one: keys in a real Vault, state in a real Valkey."""

from pathlib import Path
from typing import Any

from bao import MOUNT, BaoServer
from secret_store_home import store_policy


def shared(folder: Path, bao: BaoServer, prefix: str, state_url: str = "") -> dict[str, Any]:
    """Return the sections for a `Service` whose replicas share store and state.

    Without `state_url` each has an embedded state of its own.
    """
    token_file = folder / "vault-token"
    token_file.write_text(bao.token(store_policy(prefix)))
    sections: dict[str, Any] = {
        "vault": {"address": bao.url, "auth": "token-file", "token_file": token_file},
        "store": {"url": f"vault://{MOUNT}/{prefix}", "key_file": None},
    }
    if state_url:
        sections["state"] = {"url": state_url}
    return sections
