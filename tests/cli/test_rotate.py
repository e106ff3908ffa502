import json
from pathlib import Path

import pytest

from cli.program import Site

_ANVIL_0 = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
_SECRET = ("--secret-file", "-")


def bring(site: Site, key_id: str) -> None:
    """Import a WhiteBIT key with an old secret."""
    result = site.privyseal(
        "keys", "import", key_id, "--venue", "whitebit", "--field", "api_key=old-key", *_SECRET,
        text="old-secret",
    )  # fmt: skip
    assert 0 == result.exit_code, result.output


def api_key(site: Site, key_id: str, *arguments: str) -> str:
    """Return what the signed request names, or the reason of a refusal."""
    result = site.privyseal("sign", key_id, "POST", "/api/v4/orders", *arguments)
    text = result.stdout + result.stderr
    return next(name for name in ("old-key", "test-key", "KEY_VERSION_EXPIRED") if name in text)


def test_a_key_is_rotated_and_the_old_one_accepted(site: Site) -> None:
    """`keys rotate --accept-previous-for`: the new one signs, and the old one by its version."""
    bring(site, "turn-1")
    result = site.privyseal(
        "keys", "rotate", "turn-1", "--field", "api_key=test-key", *_SECRET,
        "--accept-previous-for", "24h", "--json", text="test-secret\n",
    )  # fmt: skip
    key = json.loads(result.stdout)

    assert ("2", "test-key") == (key["version"], key["public_id"])
    assert "test-key" == api_key(site, "turn-1")
    assert "old-key" == api_key(site, "turn-1", "--key-version", "1")
    assert "secret" not in result.output


def test_without_a_span_the_old_one_is_refused(site: Site) -> None:
    """The old version ends when the command does; `--plain` and `--venue` do as for import."""
    for key_id, way in (("turn-2", ("--plain",)), ("turn-3", ("--venue", "whitebit"))):
        bring(site, key_id)
        arguments = ("--field", "api_key=test-key", *_SECRET, *way)
        result = site.privyseal("keys", "rotate", key_id, *arguments, text="test-secret")
        assert 0 == result.exit_code, result.output
        assert "KEY_VERSION_EXPIRED" == api_key(site, key_id, "--key-version", "1")


def test_a_sealed_file_rotates(site: Site, tmp_path: Path) -> None:
    """What was sealed elsewhere is taken as it is."""
    bring(site, "turn-4")
    sealed = tmp_path / "sealed.json"
    arguments = ("keys", "seal", "turn-4", "--venue", "whitebit", *_SECRET)
    sealed.write_text(site.privyseal(*arguments, text="test-secret").stdout)
    result = site.privyseal(
        "keys", "rotate", "turn-4", "--field", "api_key=test-key", "--sealed-file", str(sealed)
    )

    assert 0 == result.exit_code, result.output
    assert "test-key" == api_key(site, "turn-4")


def test_a_wallet_is_generated_anew(site: Site) -> None:
    """`--generate` gives a new address."""
    site.privyseal(
        "keys", "import", "turn-5", "--venue", "aster", "--algorithm", "secp256k1", *_SECRET,
        text=_ANVIL_0,
    )  # fmt: skip
    result = site.privyseal("keys", "rotate", "turn-5", "--generate", "--json")
    key = json.loads(result.stdout)

    assert ("2", True) == (key["version"], key["public_id"] != "0xf39Fd6e51aad88F6F4ce6aB8827279c")
    assert 1 == site.privyseal("keys", "rotate", "none-1", "--generate").exit_code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--generate", "--secret-file", "x"), "--generate makes the secret; give no other"),
        (("--generate", "--plain"), "--generate makes the secret; give no other"),
        (("--accept-previous-for", "1 week"), "takes a span such as 90s, 15m, 24h or 7d"),
        (("--accept-previous-for", "0s"), "takes a span such as 90s, 15m, 24h or 7d"),
        (("--secret-file", "x", "--sealed-file", "y"), "give one of --secret-file and --sealed-"),
    ],
)
def test_a_rotation_is_meant(site: Site, arguments: tuple[str, ...], words: str) -> None:
    """What can't be meant ends with exit code 2, and nothing is rotated."""
    result = site.privyseal("keys", "rotate", "turn-6", *arguments)

    assert 2 == result.exit_code
    assert words in result.stderr
