import subprocess
import sys

import aiohttp
import pytest

from privyseald.sandbox.accounts import (
    Accounts,
    AsterKey,
    KiiexUser,
    NebulaexKey,
    WhitebitKey,
    default_accounts,
)
from privyseald.sandbox.knobs import KiiexKnobs, Knobs
from privyseald.sandbox.ledger import without_secrets
from privyseald.sandbox.sandbox import Sandbox, _url
from sandbox.caller import Caller


async def test_free_ports_are_loopback_and_differ(caller: Caller) -> None:
    """By default each server has its own port on 127.0.0.1."""
    urls = {*caller.sandbox.urls.values(), caller.sandbox.control_url}
    assert len(urls) == 5
    assert all(url.startswith("http://127.0.0.1:") for url in urls)


async def test_base_port_is_the_control_servers() -> None:
    """With a port the control server takes it and the venues the next four."""
    for port in range(21_000, 22_000, 5):
        sandbox = Sandbox(port=port)
        try:
            await sandbox.start()
        except OSError:
            continue
        ports = [int(url.rpartition(":")[2]) for url in sandbox.urls.values()]
        assert sandbox.control_url == f"http://127.0.0.1:{port}"
        assert ports == [port + 1, port + 2, port + 3, port + 4]
        await sandbox.close()
        return
    pytest.fail("no five free ports in a row")


async def test_taken_port_leaves_nothing_open(caller: Caller) -> None:
    """Where a port is taken the start fails, and the servers that had started are closed."""
    taken = int(caller.sandbox.urls["nebulaex"].rpartition(":")[2])
    sandbox = Sandbox(port=taken - 1)
    with pytest.raises(OSError, match="address"):
        await sandbox.start()
    assert (sandbox.urls, sandbox.control_url) == ({}, "")


async def test_closed_sandbox_answers_nothing() -> None:
    """After close no port answers."""
    sandbox = await Sandbox().start()
    url = sandbox.urls["whitebit"]
    await sandbox.close()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_other_addresses_than_loopback_are_refused(host: str) -> None:
    """Nothing but loopback is bound, unless it is asked for by name."""
    with pytest.raises(ValueError, match="allow_remote"):
        Sandbox(host=host)
    assert Sandbox(host=host, allow_remote=True).urls == {}


def test_ipv6_address_stands_in_brackets() -> None:
    """On ::1 the URLs are well formed."""
    assert _url("::1", 80) == "http://[::1]:80"


@pytest.mark.parametrize("port", [-1, 65_532])
def test_port_leaves_room(port: int) -> None:
    """A base port from which five do not fit is refused."""
    with pytest.raises(ValueError, match="port must leave room"):
        Sandbox(port=port)


async def test_own_accounts_and_knobs_replace_the_defaults() -> None:
    """What is handed in is what the servers use; an empty set stays empty."""
    accounts = Accounts()
    knobs = Knobs(kiiex=KiiexKnobs(lock_after=1))
    sandbox = Sandbox(accounts=accounts, knobs=knobs)
    assert sandbox.accounts is accounts
    assert sandbox.knobs is knobs
    assert sandbox.accounts.whitebit == {}


async def test_system_clock_is_the_default() -> None:
    """Without a clock the venues live in the present."""
    async with Sandbox() as sandbox:
        assert sandbox.clock.time_us() > 1_700_000_000_000_000


def test_repr_shows_no_secret() -> None:
    """No credential prints its secret."""
    made = [
        NebulaexKey("k", "canary"),
        KiiexUser("1", "k", "canary", code_2fa="canary"),
        WhitebitKey("k", "canary"),
        AsterKey("k", "canary"),
    ]
    assert "canary" not in repr(made)


def test_default_accounts_are_separate() -> None:
    """Two sandboxes share no state through the defaults."""
    first, second = default_accounts(), default_accounts()
    first.kiiex["149"].locked = True
    assert not second.kiiex["149"].locked


def test_secret_parameters_are_left_out() -> None:
    """Names of secrets are dropped whatever their case."""
    given = {"Signature": "s", "userSignature": "s", "Code": "1", "symbol": "BTCUSDT"}
    assert without_secrets(given) == {"symbol": "BTCUSDT"}


def test_sandbox_shares_no_signing_code() -> None:
    """Importing the sandbox imports neither the service's venues, signing nor use cases."""
    program = (
        "import sys, privyseald.sandbox.sandbox\n"
        "names = ('venues', 'signing', 'usecases')\n"
        "own = [name for name in sys.modules if name.startswith('privyseald.')]\n"
        "print([name for name in own if name.split('.')[1] in names])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert result.stdout == "[]\n"
