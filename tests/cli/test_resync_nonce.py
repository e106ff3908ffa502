import json

from cli.program import Site


def bring(site: Site, key_id: str, **fields: str) -> None:
    """Import a WhiteBIT key."""
    options = [f"--field={name}={value}" for name, value in fields.items()]
    result = site.privyseal(
        "keys", "import", key_id, "--venue", "whitebit", "--secret-file", "-", *options,
        text="test-secret",
    )  # fmt: skip
    assert 0 == result.exit_code, result.output


def test_nonces_are_raised_and_brought_down(site: Site) -> None:
    """`keys resync-nonce` says in words, or as JSON, where the nonces stood and go on."""
    bring(site, "resync-1", api_key="resync-key-1", nonce_window="false")
    high = "4000000000000000"

    up = site.privyseal("keys", "resync-nonce", "resync-1", "--above", high)
    again = site.privyseal("keys", "resync-nonce", "resync-1", "--above", high)
    down = site.privyseal("keys", "resync-nonce", "resync-1", "--json")

    assert f"resync-1: the last nonce was 0; the next one will be above {high} (up by {high})" in (
        up.stdout
    )
    assert f"resync-1: unchanged; the next nonce will be above {high}" in again.stdout
    answer = json.loads(down.stdout)
    assert high == answer["before"]
    assert int(answer["after"]) < int(high)


def test_a_refusal_says_what_to_do(site: Site) -> None:
    """A number out of reach is refused with the highest that is not."""
    bring(site, "resync-2", api_key="resync-key-2")

    result = site.privyseal("keys", "resync-nonce", "resync-2", "--above", "4000000000000000")

    assert 1 == result.exit_code
    assert "is higher than" in result.stderr
    assert "count ms of Unix time" in result.stderr
