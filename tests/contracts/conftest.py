from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from privyseald.clock import SystemClock
from privyseald.secretstore.custody import Custody
from privyseald.secretstore.escrow import Escrow
from privyseald.secretstore.escrowed_store import EscrowedStore
from secret_store_home import EmbeddedHome, Home, VaultHome
from state_home import EmbeddedStateHome, StateHome, ValkeyStateHome


@pytest.fixture(params=["embedded", "escrowed", "vault", "transit"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    """Each secret store in turn."""
    house: Home
    if request.param in ("embedded", "escrowed"):
        house = EmbeddedHome(tmp_path)
        if request.param == "escrowed":
            escrow = Escrow.open_path(tmp_path / "escrow", SystemClock())
            house.store = EscrowedStore(house.store, escrow)
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


@pytest.fixture(params=["embedded", "valkey"])
def state_home(request: pytest.FixtureRequest, tmp_path: Path) -> StateHome:
    """Each adapter of the State port in turn."""
    if request.param == "valkey":
        return ValkeyStateHome(request.getfixturevalue("valkey_server"))
    return EmbeddedStateHome(tmp_path)
