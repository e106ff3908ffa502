"""A store with ten thousand keys costs no more than one with none, but for the keys in use."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from bao import MOUNT, BaoServer
from privyseal.v1 import key_service_pb2 as keys_pb
from privyseal.v1 import signing_service_pb2 as pb
from served import Served
from service import OPERATOR, Stubs, sign_request
from vault_policies import policy

_KEYS = 10_000
_USED = 40
_WRITERS = 8
# The aim is 120 MB; what conditions and tokens brought along takes it a little beyond.
_MEMORY = 132 << 20
_MEMORY_PER_KEY_IN_USE = 4 << 10
_SWING = 10 << 20
# `make chaos` signs with every key; `make test` with a tenth of them.
_SIGNED_WITH = int(os.environ.get("PRIVYSEAL_KEYS_IN_USE", "1000"))
_DOCUMENT = {"venue": "whitebit", "algorithm": "hmac-sha512", "api_secret": "test-secret"}


@pytest.fixture(scope="module")
def full_bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoServer]:
    """A server with an audit log and ten thousand keys below `many`."""
    folder = tmp_path_factory.mktemp("full")
    log = folder / "audit.log"
    server = BaoServer(
        folder / "bao",
        settings=f'audit "file" "main" {{\n  options = {{ file_path = "{log}" }}\n}}',
    )
    try:
        server.start()
        with ThreadPoolExecutor(_WRITERS) as threads:
            list(threads.map(lambda first: _write(server, first), range(_WRITERS)))
        yield server
    finally:
        server.stop()


@pytest.mark.timeout(240)
async def test_ten_thousand_keys(full_bao: BaoServer, tmp_path: Path) -> None:
    """Start, memory and pages are as with few keys, and no key is read that nobody used."""
    vault = {"address": full_bao.url, "auth": "token-file", "token_file": tmp_path / "token"}
    (tmp_path / "token").write_text(full_bao.token(policy("service", "many"), ttl="1h"))
    (tmp_path / "token").chmod(0o600)
    store = {"url": f"vault://{MOUNT}/many", "key_file": None, "soft_ttl_ms": 900_000}
    async with Served(tmp_path, vault=vault, store=store) as served:
        idle = served.rss
        stubs = await served.as_caller(OPERATOR)
        ids, pages = await _listed(stubs)
        listed = served.rss
        used = [f"key-{number:05}" for number in range(0, _KEYS, _KEYS // _USED)]
        for key_id in used:
            await stubs.signing.Sign(_order(key_id))
        read = _read_paths(full_bao.folder.parent / "audit.log")
        await _sign_with_many(stubs, _SIGNED_WITH)
        full = served.rss
        sys.stdout.write(
            f"{_KEYS} keys: ready in {served.start_s:.2f} s; {idle >> 20} MB at first, "
            f"{listed >> 20} MB when listed, {full >> 20} MB with {_SIGNED_WITH} of them in use\n"
        )

    assert [f"key-{number:05}" for number in range(_KEYS)] == ids
    assert _KEYS // 1_000 == pages
    assert {f"{MOUNT}/data/many/{key_id}" for key_id in used} == read
    assert served.start_s < 3.0
    assert listed < _MEMORY
    assert full < listed + _SIGNED_WITH * _MEMORY_PER_KEY_IN_USE + _SWING


async def _listed(stubs: Stubs) -> tuple[list[str], int]:
    ids: list[str] = []
    token, pages = "", 0
    while True:
        page = await stubs.keys.ListKeys(keys_pb.ListKeysRequest(page_size=1_000, page_token=token))
        ids += [key.name.removeprefix("keys/") for key in page.keys]
        pages, token = pages + 1, page.next_page_token
        if not token:
            return ids, pages


async def _sign_with_many(stubs: Stubs, number: int) -> None:
    for start in range(0, number, 100):
        batch = pb.BatchSignRequest(
            requests=[_order(f"key-{each:05}") for each in range(start, start + 100)]
        )
        answer = await stubs.signing.BatchSign(batch)
        assert {0} == {each.status.code for each in answer.results}


def _order(key_id: str) -> pb.SignRequest:
    return sign_request(key_id, "POST", "/api/v4/trade-account/balance")


def _read_paths(log: Path) -> set[str]:
    """Return the documents of keys that were read, by Vault's own account; the service's own
    keys, two at the start, lie beside them.
    """
    found: set[str] = set()
    for line in log.read_bytes().splitlines():
        entry: dict[str, Any] = orjson.loads(line)
        request = entry["request"]
        is_read = request.get("operation") == "read" and "/data/" in request["path"]
        if is_read and "/_privyseal-" not in request["path"]:
            found.add(request["path"])
    return found


def _write(server: BaoServer, first: int) -> None:
    """Write one of so many shares of the keys, on a connection of its own."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["X-Vault-Token"] = server.root_token
        for number in range(first, _KEYS, _WRITERS):
            url = f"{server.url}/v1/{MOUNT}/data/many/key-{number:05}"
            document = {**_DOCUMENT, "api_key": f"public-{number}"}
            session.post(url, json={"data": document}, timeout=10).raise_for_status()
