from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bao import BaoServer
from privyseald.secretstore.custody import Custody
from secret_store_home import VaultHome


@pytest.fixture
async def home(bao: BaoServer, prefix: str, tmp_path: Path) -> AsyncIterator[VaultHome]:
    """A store on a prefix of its own."""
    home = VaultHome(bao, prefix, tmp_path)
    yield home
    await home.store.close()


@pytest.fixture
async def transit_home(bao: BaoServer, prefix: str, tmp_path: Path) -> AsyncIterator[VaultHome]:
    """A store that puts every secret into the transit engine."""
    bao.enable_transit()
    home = VaultHome(bao, prefix, tmp_path, Custody.TRANSIT)
    yield home
    await home.store.close()
    bao.clear_transit()
