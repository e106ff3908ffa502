"""The policies that deploy/vault ships, for the tests' mounts and prefixes."""

import re
from pathlib import Path

from bao import MOUNT, TRANSIT

FOLDER = Path(__file__).parents[1] / "deploy" / "vault"


def policy(name: str, prefix: str) -> str:
    """Return a shipped policy, with the test's prefix for `keys`, and its transit mount."""
    text = (FOLDER / f"{name}.hcl").read_text()
    text = re.sub(r'"signer/(data|destroy|metadata)/keys', rf'"{MOUNT}/\1/{prefix}', text)
    return text.replace('"transit/', f'"{TRANSIT}/')
