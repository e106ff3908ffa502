import uuid
from pathlib import Path

import pytest

from fakes import NOW_MS, FakeStore
from privyseald.audit.entry import Entry
from privyseald.errors import KeyChanged, SecretStoreUnreachable, StateUnavailable
from privyseald.signing.secret import SecretBytes
from privyseald.usecases.delivery import Plaintext, Receive
from privyseald.usecases.retirement import Retirement
from privyseald.usecases.rotate_key import RotateKey, RotateKeyCommand
from privyseald.venues.venue import Session
from rules import allow_all
from usecases.desk import OPERATOR, Desk, document


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    """A desk with one key."""
    desk = Desk(tmp_path)
    await desk.store.create("desk-1", document())
    return desk


def rotate_key(desk: Desk) -> RotateKey:
    """Return the use case as a server that just started has it."""
    desk.restart()
    return RotateKey(
        allow_all(),
        desk.venues,
        desk.whole_store,
        desk.cache,
        desk.sessions,
        desk.idempotency,
        Receive(desk.whole_store),
        Retirement(desk.whole_store, desk.clock),
        desk.clock,
    )


def a_command(request_id: str = "") -> RotateKeyCommand:
    """Return a rotation to another secret."""
    delivery = Plaintext(SecretBytes("secret-2"))
    return RotateKeyCommand("desk-1", delivery, {"api_key": "public-key-2"}, request_id=request_id)


def failing(store: FakeStore, error: Exception, *, landed: bool) -> None:
    """Let each rotation fail, before or after it was written."""

    async def fail(method: str, _key_id: str) -> None:
        if method == "rotate":
            raise error

    if landed:
        store.after = fail
    else:
        store.before = fail


async def _well(_method: str, _key_id: str) -> None:
    """Let the store do as it is asked."""


@pytest.mark.parametrize("landed", [True, False])
async def test_a_lost_answer_is_found_again(desk: Desk, landed: bool) -> None:
    """A retry with the same id writes no second version, at whatever server it arrives."""
    request_id = str(uuid.uuid4())
    failing(desk.store, SecretStoreUnreachable("the answer was lost"), landed=landed)
    with pytest.raises(SecretStoreUnreachable):
        await rotate_key(desk)(OPERATOR, a_command(request_id), Entry("rpc"))
    desk.store.after = desk.store.before = _well
    key = await rotate_key(desk)(OPERATOR, a_command(request_id.replace("-", "")), Entry("rpc"))

    assert (2, "public-key-2") == (key.version, key.public_id)


async def test_without_an_id_each_rotation_counts(desk: Desk) -> None:
    """Two calls without an id are two rotations."""
    entry = Entry("rpc")
    await rotate_key(desk)(OPERATOR, a_command(), Entry("rpc"))
    key = await rotate_key(desk)(OPERATOR, a_command(), entry)

    assert (3, 3, "whitebit", "all") == (
        key.version,
        entry.key_version,
        entry.venue,
        entry.rule,
    )


@pytest.mark.parametrize("error", [SecretStoreUnreachable("lost"), KeyChanged("changed")])
async def test_what_is_in_memory_goes_whatever_the_store_says(desk: Desk, error: Exception) -> None:
    """The change may have landed: key and session are asked for anew, and the secret is wiped."""
    rotate = rotate_key(desk)
    key = (await desk.open_key("desk-1")).credential.key

    async def log_in() -> Session:
        return Session("token", (), "7", NOW_MS, None)

    await desk.sessions.login(key, log_in, force=False)
    failing(desk.store, error, landed=True)
    command = a_command()
    with pytest.raises(type(error)):
        await rotate(OPERATOR, command, Entry("rpc"))
    desk.store.after = _well

    assert await desk.sessions.current(key) is None
    assert 2 == (await desk.open_key("desk-1")).credential.key.version
    assert isinstance(command.delivery, Plaintext)
    assert bytes(8) == command.delivery.material.reveal()


async def test_a_rotation_stands_where_the_session_can_not_be_dropped(desk: Desk) -> None:
    """The session of the version before is of no use to the next one, so nothing is lost."""
    key = (await desk.open_key("desk-1")).credential.key

    async def log_in() -> Session:
        return Session("token", (), "7", NOW_MS, None)

    async def away(_method: str, name: str) -> None:
        if name.startswith(("session/", "login")):
            raise StateUnavailable("away")

    await desk.sessions.login(key, log_in)
    desk.shared.before = away
    assert 2 == (await rotate_key(desk)(OPERATOR, a_command(), Entry("rpc"))).version
    desk.shared.before = _well
    rotated = (await desk.open_key("desk-1")).credential.key
    assert await desk.sessions.current(rotated) is None
