import socket
from collections.abc import Iterator

import pytest

from privyseald.config_error import ConfigInvalid
from privyseald.workers.reserved_port import ReservedPort


@pytest.fixture(params=[True, False], ids=["shared", "alone"])
def taken(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port that another program listens on, alone or ready to share it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(request.param))
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def connects(port: int) -> bool:
    """Whether anybody listens."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_port_of_any_number_is_chosen_once(host: str) -> None:
    """Port 0 becomes a number that workers can share, one after another."""
    port = ReservedPort.take(f"{host}:0")
    assert f"{host}:{port.number}" == port.address
    assert not connects(port.number)
    for _ in range(2):
        with socket.socket() as first, socket.socket() as second:
            for worker in (first, second):
                worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                worker.bind(("127.0.0.1" if host == "localhost" else host, port.number))
                worker.listen()
            assert connects(port.number)
    port.close()


def test_nobody_else_gets_it_between_two_lives() -> None:
    """While no worker listens, a program that does not share can't take the port."""
    port = ReservedPort.take("127.0.0.1:0")
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port.number))
    port.close()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port.number))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::]"])
def test_a_port_in_use_is_refused(taken: int, host: str) -> None:
    """Also where its owner would share it: two services would each hear half of the callers."""
    with pytest.raises(ConfigInvalid, match=f":{taken} can't be listened on; is another program"):
        ReservedPort.take(f"{host}:{taken}")


@pytest.mark.parametrize("address", ["nowhere.invalid:7443", "192.0.2.1:7443", "192.0.2.1:0"])
def test_an_address_that_is_not_here_is_refused(address: str) -> None:
    """A name of nothing, and the address of another machine."""
    with pytest.raises(ConfigInvalid, match=f"^server.listen: {address} can't be listened on"):
        ReservedPort.take(address)
