import asyncio
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audit_log import PUBLIC_KEY, fill, lines_of, names_beside, opened, raw_lines, rpcs_of, signed
from cli.program import Site, prepare, privyseal, running
from privyseald.audit.entry import Entry
from privyseald.audit.log import AuditLog

_START_S = 20.0


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log that lived in order."""
    path = tmp_path / "log" / "audit.jsonl"

    async def write() -> None:
        async with opened(path, checkpoint_lines=10) as log:
            await signed(log)
            await fill(log, 25, caller="spiffe://a/trader", code="OK", decision="allowed")

    asyncio.run(write())
    return path


@pytest.fixture
def public_key(tmp_path: Path) -> str:
    """The file with the key that signed it."""
    path = tmp_path / "audit.pem"
    path.write_text(PUBLIC_KEY.pem)
    return str(path)


def verify(*arguments: object) -> tuple[int, str, str]:
    """Run the command; return exit code and what it printed."""
    result = privyseal("audit", "verify", *map(str, arguments))
    return result.exit_code, result.stdout, result.stderr


def test_a_whole_log_is_ok(log: Path, public_key: str) -> None:
    """Exit code 0, the chain with its replica and how far it is proven, and one word."""
    exit_code, shown, errors = verify(log.parent, "--public-key", public_key)

    assert (0, "") == (exit_code, errors)
    assert "1-30" in shown
    assert shown.splitlines()[-2:] == [
        "ok: 30 lines in 1 file, as they were written, and proven to the last",
        (
            "    Whether more were written after them, only a checkpoint kept elsewhere can tell: "
            "--expect-sequence, --expect-hash."
        ),
    ]


def test_a_changed_log_is_broken(log: Path, public_key: str) -> None:
    """Exit code 1, with file, line and what happened to it."""
    lines = raw_lines(log)
    lines[6] = lines[6].replace(b"keys/", b"keyz/")
    log.write_bytes(b"".join(line + b"\n" for line in lines))
    exit_code, shown, _ = verify(log, "--public-key", public_key)

    assert 1 == exit_code
    assert f"{log}:7 was edited after it was written" in shown
    assert "broken: 30 lines in 1 file, not as they were written" in shown


def test_what_is_not_proven_has_a_code_of_its_own(log: Path, public_key: str) -> None:
    """Exit code 4 without a checkpoint behind the last line, and without a key at all."""
    whole, _, _ = verify(log)
    log.write_bytes(b"".join(line + b"\n" for line in raw_lines(log)[:-1]))
    cut, shown, _ = verify(log, "--public-key", public_key)

    assert (4, 4) == (whole, cut)
    assert "no checkpoint behind the last 7 lines of the chain" in shown
    assert "not proven: 29 lines in 1 file, nothing wrong" in shown


def test_without_a_key_it_is_loud(log: Path) -> None:
    """Who checks the chain alone is told what that is worth."""
    _, shown, _ = verify(log)

    assert "no public key was given, so no signature was checked" in shown


def test_a_checkpoint_from_elsewhere_finds_a_cut(log: Path, public_key: str) -> None:
    """The sequence and hash that the server's own log has tell whether lines are missing."""
    report = json.loads(verify(log, "--public-key", public_key, "--json")[1])
    (chain,) = report["chains"]
    last = ("--expect-sequence", chain["last_sequence"], "--expect-hash", chain["last_sha256"])
    exit_code, shown, _ = verify(log, "--public-key", public_key, *last)
    assert (0, False) == (exit_code, "kept elsewhere" in shown)

    log.write_bytes(b"".join(line + b"\n" for line in raw_lines(log)[:11]))
    assert 0 == verify(log, "--public-key", public_key)[0]
    exit_code, shown, _ = verify(log, "--public-key", public_key, *last)
    assert (1, True) == (exit_code, "there is no line 30 with the expected hash" in shown)


def test_machines_read_json(log: Path, public_key: str) -> None:
    """One object with the verdict, chains and findings."""
    exit_code, shown, _ = verify(log, "--public-key", public_key, "--json")
    report = json.loads(shown)

    assert (0, "intact", 30, 1) == (
        exit_code,
        report["verdict"],
        report["lines"],
        report["files"],
    )
    assert [] == report["findings"]
    assert (1, 30, 30) == tuple(
        report["chains"][0][name] for name in ("first_sequence", "last_sequence", "proven_sequence")
    )
    unproven = json.loads(verify(log, "--json")[1])
    assert ("unproven", ["no-key"]) == (
        unproven["verdict"],
        [each["kind"] for each in unproven["findings"]],
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere.jsonl",), "can't be read (No such file or directory)"),
        ((".", "--expect-hash", "ab"), "--expect-hash needs --expect-sequence"),
        ((".", "--public-key", "nowhere.pem"), "can't be read (No such file or directory)"),
        ((".", "--public-key", "bad.pem"), "is no Ed25519 public key in PEM"),
        (("empty",), "there are no *.jsonl files there"),
    ],
)
def test_wrong_usage_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    """Exit code 2, and what to give instead."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.pem").write_text("-----BEGIN PUBLIC KEY-----\n")
    monkeypatch.chdir(tmp_path)
    exit_code, shown, errors = verify(*arguments)

    assert (2, "", True) == (exit_code, shown, words in errors), errors


def test_a_key_of_another_kind_is_refused(tmp_path: Path, log: Path) -> None:
    """A public key of another kind is not taken for one."""
    pem = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "ec.pem").write_bytes(
        pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    exit_code, _, errors = verify(log, "--public-key", tmp_path / "ec.pem")

    assert (2, True) == (exit_code, "is no Ed25519 public key in PEM" in errors)


def test_a_served_log_verifies_with_the_key_of_its_store(tmp_path: Path) -> None:
    """From `init` to a proof: serve, stop, ask for the public key, verify; twice over."""
    directory = tmp_path / "new"
    prepare(directory, {})
    config = str(directory / "privyseal.toml")
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        with running(tmp_path / run, "serve", "--config", config) as server:
            server.wait_for_event("ready")
    told = [event for event in server.events() if event["event"] == "audit checkpoint"][-1]
    key = privyseal("audit", "public-key", "--config", config)
    assert (0, "") == (key.exit_code, key.stderr)
    (tmp_path / "audit.pem").write_text(key.stdout)
    exit_code, shown, _ = verify(
        directory / "audit.jsonl",
        "--public-key",
        tmp_path / "audit.pem",
        "--expect-sequence",
        told["sequence"],
        "--expect-hash",
        told["sha256"],
    )

    assert 0 == exit_code, shown
    events = [line.get("event") for line in lines_of(directory / "audit.jsonl")]
    assert ["start", "policy-loaded", "stop", "checkpoint"] * 2 == events


def test_the_key_of_a_store_in_use_is_in_the_server_s_log(site: Site) -> None:
    """Beside a running server with an embedded store it says where else the key is."""
    result = privyseal("audit", "public-key", "--config", str(site.directory / "privyseal.toml"))

    assert (2, "") == (result.exit_code, result.stdout)
    assert "is in use by another process" in result.stderr
    assert "'public_key' of the event" in result.stderr


def tail(*arguments: object) -> tuple[int, str, str]:
    """Run the command; return exit code and what it printed."""
    result = privyseal("audit", "tail", *map(str, arguments))
    return result.exit_code, result.stdout, result.stderr


async def write_some(log: AuditLog) -> None:
    """Write lines of several callers, keys and outcomes."""
    allowed: dict[str, Any] = {"code": "OK", "decision": "allowed"}
    refused: dict[str, Any] = {
        "code": "PERMISSION_DENIED",
        "reason": "POLICY_DENIED",
        "decision": "refused",
    }
    sign, login = "privyseal.v1.SigningService/Sign", "privyseal.v1.SigningService/Login"
    await log.write(Entry(sign, "desk-a", "keys/wb-1", nonce="17", **allowed), 1)
    await log.write(Entry(sign, "desk-b", "keys/wb-2", operation="POST /x", **refused), 1)
    await log.write(Entry(login, "desk-a", "keys/kx-1", **allowed), 1)
    await log.write(Entry(f"{sign}[2]", "desk-a", "keys/\x1b[2Jx\n", **refused), 1)
    await log.record(Entry(event="session-renewed", key="keys/kx-1", code="OK"))


@pytest.fixture
def busy(tmp_path: Path) -> Path:
    """A log of several callers."""
    path = tmp_path / "audit.jsonl"

    async def write() -> None:
        async with opened(path) as log:
            await write_some(log)

    asyncio.run(write())
    return path


def test_the_end_is_shown_to_people(busy: Path) -> None:
    """One row a line, below titles, with outcome, key, caller and nonce; nothing to spoof with."""
    exit_code, shown, errors = tail(busy, "-n", "7")
    rows = shown.splitlines()

    assert (0, "", 8) == (exit_code, errors, len(rows))
    assert rows[0].split() == ["time", "(UTC)", "outcome", "rpc", "key", "caller", "operation"]
    assert "2023-11-14 22:13:20.000 OK " in rows[1]
    assert "nonce 17" in rows[1]
    assert ["POLICY_DENIED", "Sign", "keys/wb-2", "desk-b", "POST", "/x"] == rows[2].split()[2:]
    assert "keys/?[2Jx?" in rows[4]
    assert ["session-renewed", "keys/kx-1"] == rows[5].split()[2:4]
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("options", "nonces_and_keys"),
    [
        (("--caller", "desk-b"), ["keys/wb-2"]),
        (("--caller", "desk-*", "--key", "wb-*"), ["keys/wb-1", "keys/wb-2"]),
        (("--key", "keys/wb-1"), ["keys/wb-1"]),
        (("--rpc", "login"), ["keys/kx-1"]),
        (("--rpc", "Sign", "--refused"), ["keys/wb-2", "keys/\x1b[2Jx\n"]),
        (("--refused", "-n", "1"), ["keys/\x1b[2Jx\n"]),
        (("--caller", "nobody"), []),
    ],
)
def test_lines_are_chosen(busy: Path, options: tuple[str, ...], nonces_and_keys: list[str]) -> None:
    """By caller, key, RPC, and whether they were refused; as they stand in the file."""
    exit_code, shown, _ = tail(busy, "--json", *options)
    chosen = [line for line in raw_lines(busy) if line.decode() in shown.splitlines()]

    assert 0 == exit_code
    assert nonces_and_keys == [json.loads(line)["key"] for line in chosen]
    assert len(chosen) == len(shown.splitlines())


def test_the_log_of_the_configuration_is_found(tmp_path: Path) -> None:
    """Without a file it is that of the configuration; one that is not there is named."""
    prepare(tmp_path / "new", {})
    config = ("--config", tmp_path / "new" / "privyseal.toml")
    exit_code, _, errors = tail(*config)
    assert (2, True) == (exit_code, "audit.jsonl can't be read" in errors)

    async def write() -> None:
        for worker in (0, 3):
            async with opened(tmp_path / "new" / "audit.jsonl", worker=worker) as log:
                await fill(log, 1, caller=f"worker {worker}")

    asyncio.run(write())
    assert "worker 0" in tail(*config)[1]
    assert "worker 3" in tail(*config, "--worker", 3)[1]
    exit_code, _, errors = tail("--config", tmp_path / "nowhere.toml")
    assert (2, True) == (exit_code, "can't be read" in errors)


def test_a_log_on_standard_output_has_no_tail(tmp_path: Path) -> None:
    """Where the configuration names no file it says where the lines are."""
    prepare(tmp_path / "new", {})
    config = tmp_path / "new" / "privyseal.toml"
    config.write_text(config.read_text().replace('file = "audit.jsonl"', ""))
    exit_code, _, errors = tail("--config", config)

    assert (2, True) == (exit_code, "standard output" in errors)


def test_new_lines_are_followed_across_rotations(tmp_path: Path) -> None:
    """With -f every line comes out once and in order, while the log goes from file to file."""
    path = tmp_path / "log" / "audit.jsonl"
    (tmp_path / "out").mkdir()

    def shown() -> list[dict[str, Any]]:
        text = (tmp_path / "out" / "stdout.txt").read_text()
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def has_shown(count: int) -> bool:
        return len([line for line in shown() if "rpc" in line]) >= count

    async def write() -> None:
        async with opened(path, rotate_bytes=8_192) as log:
            await signed(log)
            await fill(log, 5)
            with running(
                tmp_path / "out", "audit", "tail", str(path), "-f", "--json", "-n", "1000"
            ) as following:
                await until(lambda: len(shown()) >= 6)
                for _ in range(6):
                    await fill(log, 20)
                    count = len(rpcs(path.parent))
                    await until(partial(has_shown, count))
                assert following.stop(2) in {0, 130}

    asyncio.run(write())
    assert len(names_beside(path)) >= 4
    sequences = [line["sequence"] for line in shown()]
    assert list(range(1, len(sequences) + 1)) == sequences
    assert len(sequences) > 120


def rpcs(directory: Path) -> list[dict[str, Any]]:
    """Return the lines about RPCs in all files."""
    return [line for path in directory.iterdir() for line in rpcs_of(path)]


async def until(is_so: Any) -> None:
    """Wait for another process."""
    deadline = time.monotonic() + _START_S
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
