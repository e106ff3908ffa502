"""The policies that deploy/vault ships, for the tests' mount and prefixes."""

from pathlib import Path

from bao import MOUNT

FOLDER = Path(__file__).parents[1] / "deploy" / "vault"


def policy(name: str, prefix: str) -> str:
    """Return a shipped policy, with the test's prefix for `keys`."""
    text = (FOLDER / f"{name}.hcl").read_text()
    assert "signer/" in text
    return text.replace("signer/data/keys", f"{MOUNT}/data/{prefix}").replace(
        "signer/metadata/keys", f"{MOUNT}/metadata/{prefix}"
    )
