import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bao import BaoServer
from cache_desk import Desk
from privyseald.secretstore.custody import Custody
from secret_store_home import VaultHome, hmac_document


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


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A desk whose loop must have nothing to complain of at the end."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: complaints.append(context)
    )
    desk = Desk()
    await desk.store.create("desk-1", hmac_document())
    yield desk
    await desk.quiet()
    assert [] == complaints
