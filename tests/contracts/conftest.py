from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from secret_store_home import EmbeddedHome, Home, VaultHome


@pytest.fixture(params=["embedded", "vault"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    """Each secret store in turn."""
    house: Home
    if request.param == "embedded":
        house = EmbeddedHome(tmp_path)
    else:
        house = VaultHome(
            request.getfixturevalue("bao"), request.getfixturevalue("prefix"), tmp_path
        )
    yield house
    await house.store.close()
