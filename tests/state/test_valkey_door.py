"""How a Valkey is entered: passwords, ACLs, TLS, and servers that are not good enough."""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from client_authority import ClientAuthority
from clocks import SkewedClock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import StateUnavailable
from privyseald.state.state import Step
from privyseald.state.valkey import ValkeyState
from privyseald.state_config import StateConfig
from server_certificate import write_certificate
from service import eventually
from tls_relay import TlsRelay
from valkey_server import ValkeyServer

PASSWORD = "correct-horse-7f31"
DOCUMENT = Path(__file__).parents[2] / "docs" / "state.md"


def step() -> Step:
    """Return a step as a venue with a window asks for it."""
    now = time.time_ns() // 1_000_000
    return Step(now, now + 2_500, 500, 5_000, now, 1)


@asynccontextmanager
async def opened(url: str, **settings: Path | str) -> AsyncIterator[ValkeyState]:
    """Open the state at a URL."""
    config = StateConfig.model_validate({"url": url, **settings})
    state = await ValkeyState.open(config, SkewedClock())
    try:
        yield state
    finally:
        await state.close()


async def all_of_the_port(state: ValkeyState) -> None:
    """Use every method."""
    value = await state.advance("n", step())
    assert (value, value + 9) == await state.resync("n", value + 9)
    async with state.signals() as names:
        await state.signal("kind/name")
        assert "kind/name" == await asyncio.wait_for(anext(names), 5)
    version = await state.put("kind/name", b"data", ttl_ms=60_000)
    assert await state.put("kind/other", b"data", version=0, ttl_ms=60_000)
    assert ["kind/name", "kind/other"] == sorted(await state.list("kind/"))
    assert await state.delete("kind/name", version=version)
    assert None is await state.get("kind/name")
    await state.check()


def file_with(folder: Path, content: str, mode: int = 0o600) -> Path:
    """Write a file of a secret."""
    path = folder / "password"
    path.write_text(content)
    path.chmod(mode)
    return path


def documented_acl() -> list[str]:
    """Return the rules of the user that the documentation tells to make."""
    found = re.search(r"^ACL SETUSER privyseal (.*)$", DOCUMENT.read_text(), re.MULTILINE)
    assert found, "docs/state.md has the ACL"
    return found[1].split()


async def test_the_documented_acl_suffices(valkey_server: ValkeyServer, tmp_path: Path) -> None:
    """With that user, and the default one off, all of the port works, and a new epoch begins."""
    rules = [rule.replace(">PASSWORD", f">{PASSWORD}") for rule in documented_acl()]
    assert b"OK" in valkey_server.command("ACL", "SETUSER", "privyseal", *rules, "+select")
    assert {"~{privyseal}:*", "&{privyseal}:*", "-@all"} <= set(rules)
    assert not [rule for rule in rules if rule.startswith("+@")]
    file = file_with(tmp_path, f"{PASSWORD}\n")
    login: dict[str, Path | str] = {"username": "privyseal", "password_file": file}

    async with opened(valkey_server.url.replace("/0", "/3"), **login) as state:
        with pytest.raises(StateUnavailable, match="just begun"):
            await state.check()
    async with opened(valkey_server.url, **login) as state:
        await all_of_the_port(state)

    # Each of them is needed, PING once a second.
    for rule in sorted({rule for rule in rules if rule[0] == "+"} - {"+ping"}):
        valkey_server.command("FLUSHALL")
        valkey_server.command("SCRIPT", "FLUSH")
        valkey_server.settle()
        valkey_server.command("ACL", "SETUSER", "privyseal", rule.replace("+", "-"))
        async with opened(valkey_server.url, **login) as state:
            with pytest.raises(StateUnavailable, match=r"ACL in docs/state\.md"):
                await all_of_the_port(state)
        valkey_server.command("ACL", "SETUSER", "privyseal", rule)


async def test_a_command_that_the_acl_forbids_is_told(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    """Also where it is a script that may not use it."""
    valkey_server.command("ACL", "SETUSER", "u", "on", f">{PASSWORD}", "~*", "&*", "+@all", "-sadd")
    file = file_with(tmp_path, PASSWORD)
    login: dict[str, Path | str] = {"username": "u", "password_file": file}
    async with opened(valkey_server.url, **login) as state:
        await state.check()
        with pytest.raises(StateUnavailable, match=r"ACL in docs/state\.md"):
            await state.put("n", b"")


async def test_the_wrong_password_is_told_and_the_right_one_taken_without_a_restart(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    """The file is read for each connection. Its content is nowhere in what is told."""
    valkey_server.command("CONFIG", "SET", "requirepass", PASSWORD)
    with capture_logs() as log:
        async with opened(valkey_server.url) as state:
            with pytest.raises(StateUnavailable, match=r"state\.password_file") as missing:
                await state.get("n")
        file = file_with(tmp_path, "wrong-password-9c")
        async with opened(valkey_server.url, password_file=file) as state:
            with pytest.raises(StateUnavailable, match="refuses the password") as wrong:
                await state.advance("n", step())
            file.write_text(PASSWORD)

            async def is_in() -> bool:
                try:
                    return await state.get("n") is None
                except StateUnavailable:
                    return False

            await eventually(is_in)
    told = f"{log} {missing.value.message} {wrong.value.message} {wrong.value.__cause__}"
    assert "wrong-password-9c" not in told
    assert PASSWORD not in told


async def test_a_password_file_that_others_can_read_stops_the_start(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    """As every file of a secret."""
    file = file_with(tmp_path, PASSWORD, 0o644)
    with pytest.raises(ConfigInvalid, match="chmod 600"):
        async with opened(valkey_server.url, password_file=file):
            pass


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_server_that_may_evict_stops_the_start(
    valkey_server: ValkeyServer, policy: str
) -> None:
    """What it throws away is what keeps nonces apart, or sessions, or answers."""
    valkey_server.command("CONFIG", "SET", "maxmemory-policy", policy)
    async with opened(valkey_server.url):
        pass  # without a limit it evicts nothing
    valkey_server.command("CONFIG", "SET", "maxmemory", "100mb")
    with pytest.raises(ConfigInvalid, match="noeviction"):
        async with opened(valkey_server.url):
            pass
    valkey_server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    async with opened(valkey_server.url) as state:
        await state.check()


@pytest.mark.parametrize(
    ("info", "is_taken"),
    [
        (b"redis_version:7.2.4\r\nvalkey_version:7.2.0", True),
        (b"redis_version:7.2.4\r\nvalkey_version:7.1.9", False),
        (b"redis_version:7.0.0", True),
        (b"redis_version:6.2.14", False),
        (b"redis_version:10.0.0", True),
        (b"nothing", False),
        (None, False),
    ],
)
async def test_an_old_server_stops_the_start(info: bytes | None, *, is_taken: bool) -> None:
    """Before Valkey 7.2 and Redis 7.0 scripts could not do what is needed here."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(b"*0\r\n" if info is not None else b"-ERR unknown command 'HELLO'\r\n")
        await reader.read(1_000)
        text = (info or b"") + b"\r\n"
        writer.write(b"$%d\r\n%s\r\n" % (len(text), text))
        await reader.read(1_000)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"valkey://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        if is_taken:
            async with opened(url):
                return
        with pytest.raises(ConfigInvalid, match="upgrade"):
            async with opened(url):
                pass
    finally:
        server.close()


async def test_a_server_that_is_away_is_no_reason_not_to_start(tmp_path: Path) -> None:
    """It is tried on; until then everything says so, at once."""
    server = ValkeyServer(tmp_path / "valkey")
    async with opened(server.url) as state:
        began = time.monotonic()
        for ask in (state.check(), state.get("n"), state.put("n", b""), state.advance("n", step())):
            with pytest.raises(StateUnavailable, match="can't be reached") as caught:
                await ask
            assert caught.value.retry_after_ms
        with pytest.raises(StateUnavailable):
            async with state.signals():
                pass
        assert time.monotonic() - began < 1
        try:
            server.start()
            server.settle()

            async def works() -> bool:
                try:
                    await state.check()
                except StateUnavailable:
                    return False
                return True

            await eventually(works)
            await all_of_the_port(state)
        finally:
            server.stop()


async def test_something_else_than_a_valkey_is_told() -> None:
    """An HTTP server, for one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(1_000)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with opened(f"valkey://127.0.0.1:{server.sockets[0].getsockname()[1]}") as state:
        with pytest.raises(StateUnavailable, match="something else than a Valkey"):
            await state.check()
    server.close()


async def test_a_full_server_is_told(valkey_server: ValkeyServer) -> None:
    """Nothing is thrown away, so nothing more is taken; what is there can be read."""
    async with opened(valkey_server.url) as state:
        await state.put("n", b"data")
        valkey_server.command("CONFIG", "SET", "maxmemory", "1mb")
        with pytest.raises(StateUnavailable, match="out of memory"):
            await state.put("n", b"x")
        with pytest.raises(StateUnavailable, match="out of memory"):
            await state.advance("n", step())
        found = await state.get("n")
        assert found
        assert b"data" == found.data


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_with_a_client_certificate(
    valkey_server: ValkeyServer, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The server proves itself by state.ca_file, this service by its certificate."""
    authority, certificate, private_key = write_certificate(tmp_path)
    clients = ClientAuthority()
    client_ca = tmp_path / "clients.pem"
    client_ca.write_text(clients.pem)
    shown, its_key = clients.write(tmp_path, "privyseal")
    relay = TlsRelay(
        valkey_server.port, certificate, private_key, client_ca=client_ca, version=version
    )
    async with relay:
        url = f"valkeys://127.0.0.1:{relay.port}"
        files = {"certificate_file": shown, "private_key_file": its_key}
        async with opened(url, ca_file=authority, **files) as state:
            await all_of_the_port(state)
        async with opened(url, ca_file=authority) as state:
            with pytest.raises(StateUnavailable, match=r"certificate_file|closed"):
                await state.check()


async def test_an_authority_that_can_not_be_looked_at_stops_the_start_and_nothing_later(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    """A start that can't succeed ends; a server that runs goes on once the file is back."""
    authority, certificate, private_key = write_certificate(tmp_path)
    ca_file = tmp_path / "current.pem"
    ca_file.symlink_to("x" * 300)
    async with TlsRelay(valkey_server.port, certificate, private_key) as relay:
        url = f"valkeys://127.0.0.1:{relay.port}"
        async with asyncio.timeout(5):
            with pytest.raises(ConfigInvalid, match=r"state\.ca_file"):
                async with opened(url, ca_file=ca_file):
                    pass
        ca_file.unlink()
        ca_file.symlink_to(authority)
        async with opened(url, ca_file=ca_file) as state:
            await state.put("n", b"data")
            ca_file.unlink()
            ca_file.symlink_to("x" * 300)
            valkey_server.command("CLIENT", "KILL", "TYPE", "normal")

            async def says(words: str) -> bool:
                try:
                    await state.get("n")
                except StateUnavailable as error:
                    return words in error.message
                return not words

            await eventually(lambda: says("state.ca_file"))
            ca_file.unlink()
            ca_file.symlink_to(authority)
            await eventually(lambda: says(""))


async def test_a_server_of_another_authority_or_host_is_not_believed(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    """Nor one without TLS, where the URL says that there is."""
    authority, certificate, private_key = write_certificate(tmp_path)
    (tmp_path / "others").mkdir()
    other_authority, *_ = write_certificate(tmp_path / "others")
    async with TlsRelay(valkey_server.port, certificate, private_key) as relay:
        for host, ca_file in (("127.0.0.1", other_authority), ("localhost", authority)):
            async with opened(f"rediss://{host}:{relay.port}", ca_file=ca_file) as state:
                with pytest.raises(StateUnavailable, match=r"certificate that state\.ca_file"):
                    await state.check()
        async with opened(f"valkeys://127.0.0.1:{relay.port}") as state:
            with pytest.raises(StateUnavailable, match=r"certificate that state\.ca_file"):
                await state.check()
    async with opened(f"valkeys://127.0.0.1:{valkey_server.port}", ca_file=authority) as state:
        with pytest.raises(StateUnavailable):
            await state.check()
    with pytest.raises(ConfigInvalid, match=r"state\.ca_file"):
        async with opened("valkeys://127.0.0.1:1", ca_file=tmp_path / "missing.pem"):
            pass
    files = {"certificate_file": certificate, "private_key_file": private_key}
    private_key.chmod(0o600)
    certificate.write_text("no certificate")
    with pytest.raises(ConfigInvalid, match="belong together"):
        async with opened("valkeys://127.0.0.1:1", **files):
            pass


async def test_values_appear_in_no_error_and_no_log(valkey_server: ValkeyServer) -> None:
    """What is kept there may be asked for by everybody who reads logs, and is not found."""
    with capture_logs() as log:
        async with opened(valkey_server.url) as state:
            await state.put("kind/name", b"canary-5e21")
            valkey_server.command("CONFIG", "SET", "maxmemory", "1mb")
            with pytest.raises(StateUnavailable) as caught:
                await state.put("kind/name", b"canary-5e21")
            valkey_server.command("CONFIG", "SET", "maxmemory", "0")
            valkey_server.command("SADD", "{privyseal}:value:odd", "canary-5e21")
            with pytest.raises(StateUnavailable) as odd:
                await state.get("odd")
            valkey_server.command("SET", "{privyseal}:value:other", "canary-5e21")
            with pytest.raises(StateUnavailable, match="did not write") as other:
                await state.get("other")
            shown = repr(await state.get("kind/name"))
    told = f"{log} {shown} {[repr(each.value) for each in (caught, odd, other)]}"
    assert "canary-5e21" not in told
