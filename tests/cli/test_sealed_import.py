import base64
import json
from pathlib import Path

import pytest

from cli.program import Site, privyseal
from privyseald.signing.sealed_box import OpeningKey, generate_opening_key
from privyseald.signing.sealed_secret import open_secret
from privyseald.signing.secret import SecretBytes

_API_KEY = ("--field", "api_key=test-key")


def sealing_key_file(site: Site, folder: Path) -> Path:
    """Fetch the server's public key into a file."""
    result = site.privyseal("keys", "sealing-key")
    assert (result.exit_code, result.stderr) == (0, "")
    path = folder / "key.json"
    path.write_text(result.stdout)
    return path


def test_a_secret_is_sealed_offline_and_imported(site: Site, tmp_path: Path) -> None:
    """`sealing-key`, then `seal` without a server, then `import --sealed-file`: the key signs."""
    key_file = sealing_key_file(site, tmp_path)
    sealed = privyseal(
        "keys", "seal", "sealed-1", "--venue", "whitebit", "--sealing-key", str(key_file),
        "--secret-file", "-", text="test-secret\n",
    )  # fmt: skip
    sealed_file = tmp_path / "sealed.json"
    sealed_file.write_text(sealed.stdout)
    imported = site.privyseal(
        "keys", "import", "sealed-1", *_API_KEY, "--sealed-file", str(sealed_file)
    )

    assert (0, "") == (sealed.exit_code, sealed.stderr)
    assert (0, "") == (imported.exit_code, imported.stderr)
    assert 0 == site.privyseal("sign", "sealed-1", "POST", "/api/v4/orders").exit_code
    told = json.loads(sealed.stdout)
    assert json.loads(key_file.read_text())["key_id"] == told["sealing_key_id"]
    assert ("sealed-1", "whitebit") == (told["key_id"], told["venue"])
    assert b"PSS1" == base64.b64decode(told["sealed"])[:4]
    assert "test-secret" not in sealed.output


def test_sealing_may_ask_the_server(site: Site) -> None:
    """Without a file the public key is asked of the server."""
    result = site.privyseal(
        "keys", "seal", "sealed-2", "--venue", "whitebit", "--secret-file", "-", text="s"
    )

    assert (0, "sealed-2") == (result.exit_code, json.loads(result.stdout)["key_id"])


def test_a_file_is_for_one_key(site: Site, tmp_path: Path) -> None:
    """A sealed file is refused for another key id or venue before anything is sent."""
    sealed_file = tmp_path / "sealed.json"
    sealed_file.write_text(
        site.privyseal(
            "keys", "seal", "sealed-3", "--venue", "whitebit", "--secret-file", "-", text="s"
        ).stdout
    )
    for arguments in (("sealed-4",), ("sealed-3", "--venue", "kiiex")):
        result = site.privyseal("keys", "import", *arguments, "--sealed-file", str(sealed_file))
        assert 2 == result.exit_code
        assert "is sealed for key 'sealed-3' at 'whitebit'" in result.stderr


def test_an_import_seals_by_itself(site: Site, tmp_path: Path) -> None:
    """A plain `import` seals to the key of the server, or to the one that it is given."""
    other = OpeningKey(generate_opening_key()).sealing_key
    key_file = tmp_path / "key.json"
    told = json.loads(sealing_key_file(site, tmp_path).read_text())
    told |= {
        "key_id": other.fingerprint,
        "public_key": base64.b64encode(other.raw).decode(),
    }
    key_file.write_text(json.dumps(told))
    secret = ("--secret-file", "-")
    arguments = ("keys", "import", "own-1", "--venue", "whitebit", *_API_KEY, *secret)
    astray = site.privyseal(*arguments, "--sealing-key", str(key_file), text="test-secret")
    good = site.privyseal(*arguments, text="test-secret")
    plain = site.privyseal(*arguments[:2], "own-2", *arguments[3:], "--plain", text="test-secret")

    assert 1 == astray.exit_code
    assert "sealed: is sealed to another key than this service's present one" in astray.stderr
    assert (0, 0) == (good.exit_code, plain.exit_code)


def test_a_token_comes_from_a_file(site: Site, tmp_path: Path) -> None:
    """`--wrapping-token-file` sends the token alone; a server without Vault says what to do."""
    token_file = tmp_path / "token"
    token_file.write_text("s.canary\n")
    result = site.privyseal(
        "keys", "import", "token-1", "--venue", "whitebit", *_API_KEY,
        "--wrapping-token-file", str(token_file),
    )  # fmt: skip

    assert 1 == result.exit_code
    assert "wrapping_token: needs a server that keeps its keys in Vault" in result.stderr
    assert "canary" not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--secret-file", "a", "--sealed-file", "b"), "give one of --secret-file and --sealed-f"),
        (("--plain", "--sealing-key", "key.json"), "give one of --plain and --sealing-key"),
        (("--secret-file", "a"), "give the venue with --venue"),
        (("--sealed-file", "/nothing/here"), "/nothing/here can't be read: No such file"),
        (
            ("--venue", "whitebit", "--secret-file", "-", "--sealing-key", "/no"),
            "/no can't be read",
        ),
    ],
)
def test_a_delivery_is_one(site: Site, arguments: tuple[str, ...], words: str) -> None:
    """What can't be meant ends with exit code 2, and nothing is written."""
    result = site.privyseal("keys", "import", "usage-2", *arguments, text="s")

    assert 2 == result.exit_code
    assert words in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "is not what it should be"),
        ("no json", "is not what it should be"),
        ({"sealed": "@@"}, "'sealed' is not base64"),
        ({"sealed": ""}, "'sealed' is empty"),
    ],
)
def test_a_sealed_file_is_whole(tmp_path: Path, content: str | dict[str, str], words: str) -> None:
    """What is no sealed file is refused with the command that makes one."""
    path = tmp_path / "sealed.json"
    good = {"key_id": "wb", "venue": "whitebit", "sealing_key_id": "", "sealed": ""}
    path.write_text(content if isinstance(content, str) else json.dumps({**good, **content}))
    result = privyseal("keys", "import", "wb", "--sealed-file", str(path))

    assert 2 == result.exit_code
    assert words in result.stderr
    assert "make one with 'privyseal keys seal'" in result.stderr


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"public_key": "AAAA"}, "holds no public key"),
        ({"public_key": "@"}, "holds no public key"),
        ({"key_id": "0" * 32}, "key_id or suite does not belong to the public key"),
        ({"suite": "rot13"}, "key_id or suite does not belong to the public key"),
        ({"suite": 7}, "is not what it should be"),
    ],
)
def test_a_sealing_key_file_is_whole(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    """A public key that was changed does not fit its id, and nothing is sealed to it."""
    key = OpeningKey(generate_opening_key()).sealing_key
    told: dict[str, object] = {
        "key_id": key.fingerprint,
        "public_key": base64.b64encode(key.raw).decode(),
        "suite": "DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM",
    }
    (tmp_path / "key.json").write_text(json.dumps({**told, **changed}))
    result = privyseal(
        "keys", "seal", "wb", "--venue", "whitebit", "--sealing-key", str(tmp_path / "key.json"),
        "--secret-file", "-", text="canary",
    )  # fmt: skip

    assert 2 == result.exit_code
    assert words in result.stderr
    assert "canary" not in result.output


@pytest.mark.parametrize(
    ("key_id", "venue", "words"),
    [("Upper", "whitebit", "key_id: is not a key id"), ("wb", "mtgox", "there is no such venue")],
)
def test_a_slip_is_found_before_sealing(
    tmp_path: Path, key_id: str, venue: str, words: str
) -> None:
    """An id or venue that no server would take is refused offline."""
    opening_key = OpeningKey(generate_opening_key())
    key = opening_key.sealing_key
    (tmp_path / "key.json").write_text(
        json.dumps(
            {
                "key_id": key.fingerprint,
                "public_key": base64.b64encode(key.raw).decode(),
                "suite": "DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM",
            }
        )
    )
    seal = ("--sealing-key", str(tmp_path / "key.json"), "--secret-file", "-")
    wrong = privyseal("keys", "seal", key_id, "--venue", venue, *seal, text="s")
    right = privyseal("keys", "seal", "wb", "--venue", "whitebit", *seal, text="s")

    assert 2 == wrong.exit_code
    assert words in wrong.stderr
    sealed = base64.b64decode(json.loads(right.stdout)["sealed"])
    assert SecretBytes("s") == open_secret(opening_key, sealed, "wb", "whitebit")
