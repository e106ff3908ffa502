from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from privyseald.secretstore.custody import Custody
from secret_store_home import EmbeddedHome, Home, VaultHome


@pytest.fixture(params=["embedded", "vault", "transit"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    """Each secret store in turn."""
    house: Home
    if request.param == "embedded":
        house = EmbeddedHome(tmp_path)
    else:
        bao, prefix = request.getfixturevalue("bao"), request.getfixturevalue("prefix")
        custody = Custody.KV
        if request.param == "transit":
            custody = Custody.TRANSIT_WHERE_POSSIBLE
            bao.enable_transit()
        house = VaultHome(bao, prefix, tmp_path, custody)
    yield house
    await house.store.close()
    if request.param == "transit":
        bao.clear_transit()
