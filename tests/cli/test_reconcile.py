import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from cli.program import Site, prepare, privyseal
from privyseald.clock import SystemClock
from privyseald.secretstore.embedded import EmbeddedStore
from privyseald.secretstore.escrow import Escrow
from privyseald.secretstore.origin import Order
from secret_store_home import CANARY, hmac_document, reservation

ID = "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11"
ORDER = Order("wallet", "desk one", "1").to_fields()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """What `privyseal init` writes."""
    prepare(tmp_path / "new", {})
    return tmp_path / "new"


def reconcile(directory: Path, *options: str) -> tuple[int, str, str]:
    """Run the command; return exit code and what it printed."""
    config = str(directory / "privyseal.toml")
    result = privyseal("keys", "reconcile", "--config", config, *options)
    return result.exit_code, result.stdout, result.stderr


def leave(directory: Path, *, sealed: bool, taken: bool = False) -> None:
    """Do what a crash does: leave a reservation, and perhaps a sealed key."""

    async def act() -> None:
        store = EmbeddedStore.open_path(
            directory / "store.db", key_file=directory / "store.key", clock=SystemClock()
        )
        escrow = Escrow.open_path(directory / "escrow", SystemClock())
        document = hmac_document() if taken else replace(reservation(ID), fields=ORDER)
        await store.create("desk-1", document)
        place = await escrow.take_place(store, "desk-1", ID, "1")
        if sealed:
            await escrow.seal(place, hmac_document(request_id=ID), 1)
        else:
            await escrow.abandon(place)
        await store.close()
        escrow.close()

    asyncio.run(act())


def keep_in_vault(directory: Path) -> None:
    """Point the server at a Vault that is not there."""
    config = directory / "privyseal.toml"
    (directory / "token").write_text("s.none")
    (directory / "token").chmod(0o600)
    text = config.read_text()
    head, _, rest = text.partition("[store]\n")
    vault = '[vault]\naddress = "http://127.0.0.1:9"\ntoken_file = "token"\n'
    config.write_text(
        f'{head}[store]\nurl = "vault://signer/keys"\n\n{vault}\n[state]'
        + rest.partition("[state]")[2]
    )


def test_where_nothing_is_left_it_says_so(directory: Path) -> None:
    """A store without leftovers is told in one line, and as an empty list."""
    assert (0, "ok: nothing waits in escrow, and no creation was left behind\n", "") == reconcile(
        directory
    )
    assert (0, "[]\n", "") == reconcile(directory, "--json")


def test_a_sealed_key_is_moved(directory: Path) -> None:
    """The table shows what was moved, the exit code that nothing is left, and no secret shows."""
    leave(directory, sealed=True)
    exit_code, shown, errors = reconcile(directory)

    assert (0, "") == (exit_code, errors)
    assert ["desk-1", "whitebit", "moved"] == shown.splitlines()[-2].split()
    assert CANARY not in shown
    assert (0, "[]\n", "") == reconcile(directory, "--json")


def test_an_unknown_outcome_says_what_to_do(directory: Path) -> None:
    """A reservation left behind is shown with where to look, and the exit code is 1."""
    leave(directory, sealed=False)
    exit_code, shown, errors = reconcile(directory)

    assert (1, "") == (exit_code, errors)
    assert "unknown" in shown
    assert "look at whitebit (production) for a key named 'desk one'" in shown
    assert "then 'privyseal keys delete desk-1' and begin anew" in shown
    exit_code, shown, _ = reconcile(directory, "--json")
    assert (1, "unknown", "desk-1") == (
        exit_code,
        json.loads(shown)[0]["outcome"],
        json.loads(shown)[0]["key_id"],
    )


def test_a_key_that_has_no_place_stays(directory: Path) -> None:
    """Where another key stands it is not overwritten, and the exit code is 1."""
    leave(directory, sealed=True, taken=True)
    for _ in range(2):
        exit_code, shown, _ = reconcile(directory, "--json")
        (finding,) = json.loads(shown)
        assert (1, "blocked", "KEY_EXISTS") == (exit_code, finding["outcome"], finding["cause"])


def test_a_store_that_is_away_keeps_what_waits(directory: Path) -> None:
    """With Vault away the record is shown as waiting; exit code 3, and nothing is lost."""
    leave(directory, sealed=True)
    keep_in_vault(directory)
    exit_code, shown, errors = reconcile(directory)

    assert (3, True) == (exit_code, "waiting" in shown)
    assert errors.startswith("error: Vault can't be reached")
    assert "What waits in escrow stays there; nothing is lost." in errors
    assert 1 == len(list((directory / "escrow").glob("*.record")))


def test_a_store_that_is_away_is_no_all_clear(directory: Path) -> None:
    """With Vault away and nothing in escrow the command does not say that all is well."""
    keep_in_vault(directory)
    exit_code, shown, errors = reconcile(directory)

    assert (3, "") == (exit_code, shown)
    assert errors.startswith("error: Vault can't be reached")


def test_an_embedded_store_in_use_is_left_to_its_server(site: Site) -> None:
    """Beside a running server with an embedded store the command says that it is not needed."""
    exit_code, shown, errors = reconcile(site.directory)

    assert (2, "") == (exit_code, shown)
    assert "is in use by another process" in errors
    assert "A server that runs on this store reconciles by itself; see its log." in errors


def test_a_configuration_that_is_wrong_is_named(tmp_path: Path) -> None:
    """Without a configuration there is nothing to reconcile."""
    exit_code, _, errors = reconcile(tmp_path)

    assert (2, True) == (exit_code, "can't be read" in errors)
