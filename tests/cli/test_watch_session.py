import asyncio
import json
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bao import free_port
from cli.program import Process, Site, running
from privyseal.v1 import signing_service_pb2 as pb
from service import KIIEX, OPERATOR, Service, import_sandbox_key


@pytest.fixture
def session_key(site: Site) -> str:
    """A KIIEX key of the test's own."""
    key_id = f"k-{uuid.uuid4()}"
    result = site.privyseal(
        "keys", "import", key_id, "--venue", "kiiex", "--field", "api_key=test-key",
        "--field", "user_id=149", "--secret-file", "-", text="test-secret",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return key_id


def printed(process: Process, is_enough: Callable[[str], bool]) -> str:
    """Return what the process printed, once it is enough."""
    deadline = time.monotonic() + 20
    while not is_enough(text := process.stdout_file.read_text()):
        assert time.monotonic() < deadline, text + process.stderr_file.read_text()
        time.sleep(0.02)
    return text


def events(process: Process, count: int) -> list[dict[str, Any]]:
    """Return the events that were printed as JSON, once there are so many."""
    text = printed(process, lambda text: text.count("\n") >= count)
    return [json.loads(line) for line in text.splitlines()]


def test_each_session_is_a_line(site: Site, session_key: str, tmp_path: Path) -> None:
    """The one that there is, a forced one, and that it was ended; an interrupt is no failure."""
    client = ("--client", str(site.client_file))
    first = json.loads(site.privyseal("login", session_key, "--show-token", "--json").stdout)
    command = ("login", session_key, "--watch", "--show-token", "--json", *client)
    with running(tmp_path, *command) as process:
        assert events(process, 1) == [{"session": first}]
        site.privyseal("login", session_key, "--force")
        second = events(process, 2)[1]["session"]
        assert second["token"] not in {"", first["token"]}
        site.privyseal("logout", session_key)
        assert events(process, 3)[2]["failure"]["reason"] == "SESSION_MISSING"
        assert process.stop(signal.SIGINT) == 0


def test_a_watched_token_is_hidden(site: Site, session_key: str, tmp_path: Path) -> None:
    """People see whose session it is and until when, and failures as warnings; no token."""
    shown = json.loads(site.privyseal("login", session_key, "--show-token", "--json").stdout)
    client = ("--client", str(site.client_file))
    with running(tmp_path, "login", session_key, "--watch", *client) as process:
        text = printed(process, lambda text: "expires" in text)
        site.privyseal("logout", session_key)
        deadline = time.monotonic() + 20
        while "SESSION_MISSING" not in process.stderr_file.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert "149" in text
    assert "(hidden; --show-token prints it)" in text
    assert shown["token"] not in text
    assert process.stderr_file.read_text().startswith("warning: not renewed: FAILED_PRECONDITION")


def test_what_can_not_be_watched_ends_at_once(site: Site) -> None:
    """A refusal is told as of any command, and options that belong to a login are a mistake."""
    refused = site.privyseal("login", "nobody", "--watch")
    assert (refused.exit_code, "KEY_UNKNOWN" in refused.stderr) == (1, True)
    for option in (("--force",), ("--option", "two_factor_code=123456")):
        assert site.privyseal("login", "nobody", "--watch", *option).exit_code == 2


async def test_a_stream_that_ends_is_opened_again(tmp_path: Path) -> None:
    """A server that was restarted goes on with the same session, which is not shown twice."""
    listen = f"127.0.0.1:{free_port()}"
    (tmp_path / "cli").mkdir()
    async with Service(tmp_path, server={"listen": listen}) as service:
        operator = await service.as_caller(OPERATOR)
        await import_sandbox_key(operator, "kx", KIIEX)
        pem = service.certificate(OPERATOR)
        (tmp_path / "client.pem").write_bytes(pem.certificate)
        (tmp_path / "client-key.pem").write_bytes(pem.private_key)
        (tmp_path / "client.toml").write_text(
            f'server = "localhost:{listen.rpartition(":")[2]}"\nca_file = "ca.pem"\n'
            'certificate_file = "client.pem"\nprivate_key_file = "client-key.pem"\n'
        )
        command = ("login", "kx", "--watch", "--show-token", "--json")
        with running(tmp_path / "cli", *command, "--client", str(tmp_path / "client.toml")) as cli:
            first = await asyncio.to_thread(events, cli, 1)
            await service.restart()
            again = await service.as_caller(OPERATOR)
            forced = await again.signing.Login(pb.LoginRequest(key="keys/kx", force=True))
            second = await asyncio.to_thread(events, cli, 2)
            assert [event["session"]["token"] for event in second] == [
                first[0]["session"]["token"],
                forced.session.token,
            ]
