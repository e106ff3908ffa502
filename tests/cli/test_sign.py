import json
import uuid
from pathlib import Path

import pytest

from cli.program import Site

_ORDER = '{"market":"BTC_USDT"}'


@pytest.fixture
def key(site: Site) -> str:
    """A WhiteBIT key of the test's own."""
    return imported(site, "whitebit", "--field", "api_key=test-key")


@pytest.fixture
def session_key(site: Site) -> str:
    """A KIIEX key of the test's own."""
    return imported(site, "kiiex", "--field", "api_key=test-key", "--field", "user_id=149")


def imported(site: Site, venue: str, *arguments: str) -> str:
    """Import a key under an id that nobody has, and return the id."""
    key_id = f"k-{uuid.uuid4()}"
    result = site.privyseal(
        "keys", "import", key_id, "--venue", venue, *arguments,
        "--secret-file", "-", text="test-secret",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return key_id


def test_a_request_is_printed_as_it_is_sent(site: Site, key: str) -> None:
    """Request line, headers, an empty line, body: nothing is wrapped or coloured."""
    result = site.privyseal("sign", key, "POST", "/api/v4/order/new", "--body", _ORDER)
    lines = result.stdout.splitlines()
    url = site.sandbox["venues"]["whitebit"]
    assert (result.exit_code, result.stderr) == (0, "")
    assert lines[0] == f"POST {url}/api/v4/order/new"
    assert [line.partition(":")[0] for line in lines[1:-2]] == [
        "Content-Type",
        "X-TXC-APIKEY",
        "X-TXC-PAYLOAD",
        "X-TXC-SIGNATURE",
    ]
    assert lines[-2] == ""
    assert json.loads(lines[-1])["market"] == "BTC_USDT"


@pytest.mark.parametrize("source", ["body", "file", "stdin"])
def test_a_body_comes_from_anywhere(site: Site, key: str, tmp_path: Path, source: str) -> None:
    """An argument, a file and standard input are the same body."""
    (tmp_path / "body.json").write_text(_ORDER)
    arguments = {
        "body": ("--body", _ORDER),
        "file": ("--body-file", str(tmp_path / "body.json")),
        "stdin": ("--body-file", "-"),
    }[source]
    result = site.privyseal("sign", key, "POST", "/api/v4/order/new", *arguments, text=_ORDER)
    assert json.loads(result.stdout.splitlines()[-1])["market"] == "BTC_USDT"


def test_a_signed_request_as_json(site: Site, key: str) -> None:
    """`--json` prints the whole answer, the body in base64 as proto JSON has it."""
    request_id = str(uuid.uuid4())
    command = ("sign", key, "POST", "/api/v4/orders", "--request-id", request_id, "--json")
    first, again = site.privyseal(*command), site.privyseal(*command)
    answer = json.loads(first.stdout)
    assert answer["key"] == f"keys/{key}"
    assert answer["signed_http_request"]["method"] == "POST"
    assert first.stdout == again.stdout


def test_validation_prints_a_word(site: Site, key: str) -> None:
    """`--validate-only` shows no signature."""
    result = site.privyseal("sign", key, "POST", "/api/v4/orders", "--validate-only")
    assert (result.exit_code, result.stdout) == (0, "allowed\n")
    as_json = site.privyseal("sign", key, "POST", "/api/v4/orders", "--validate-only", "--json")
    assert "signed_http_request" not in json.loads(as_json.stdout)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--body", "{}", "--body-file", "-"), "give one of --body and --body-file"),
        (("--body-file", "/nothing/here"), "/nothing/here can't be read: No such file"),
    ],
)
def test_a_wrong_body_is_usage(
    site: Site, key: str, arguments: tuple[str, ...], words: str
) -> None:
    """What can't be meant is refused before anything is sent."""
    result = site.privyseal("sign", key, "POST", "/api/v4/orders", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_a_request_that_is_refused(site: Site, key: str) -> None:
    """The server's words, with code and reason; exit code 1."""
    result = site.privyseal("sign", key, "POST", "/api/v4/orders", "--body", '{"nonce":1}')
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: INVALID_ARGUMENT (PARAMETER_RESERVED): http_request")


def test_a_content_type_is_sent(site: Site, key: str) -> None:
    """`--content-type` reaches the server's rules."""
    command = ("sign", key, "POST", "/api/v4/orders", "--content-type", "text/plain")
    assert "http_request.content_type: must be" in site.privyseal(*command).stderr


def test_a_login_hides_its_token(site: Site, session_key: str) -> None:
    """Login shows whose session it is, and the token only when asked."""
    hidden = site.privyseal("login", session_key)
    shown_json = site.privyseal("login", session_key, "--show-token", "--json")
    assert shown_json.exit_code == 0, shown_json.output
    shown = json.loads(shown_json.stdout)
    hidden_json = json.loads(site.privyseal("login", session_key, "--json").stdout)
    assert "(hidden; --show-token prints it)" in hidden.stdout
    assert "149" in hidden.stdout
    assert shown["headers"] == [{"name": "aptoken", "value": shown["token"]}]
    assert shown["token"] not in hidden.stdout
    assert "headers" not in hidden_json
    assert hidden_json["token"].startswith("(hidden")


def test_a_shown_token_is_printed(site: Site, session_key: str) -> None:
    """`--show-token` prints it for people too, and `--force` makes another."""
    first = site.privyseal("login", session_key, "--show-token").stdout
    forced = site.privyseal("login", session_key, "--show-token", "--force").stdout
    tokens = [
        line.split()[1] for text in (first, forced) for line in text.splitlines() if "token" in line
    ]
    assert len(set(tokens)) == 2


def test_a_logout_says_so(site: Site, session_key: str) -> None:
    """After Logout there is no session, and saying it twice is no failure."""
    site.privyseal("login", session_key)
    for _ in range(2):
        result = site.privyseal("logout", session_key)
        assert (result.exit_code, result.stdout) == (0, f"{session_key} has no session now\n")


def test_a_login_that_is_not_possible(site: Site, key: str) -> None:
    """A venue without sessions, an option that it has not, an option without a value."""
    assert "LOGIN_UNSUPPORTED" in site.privyseal("login", key).stderr
    assert "LOGIN_UNSUPPORTED" in site.privyseal("logout", key).stderr
    assert site.privyseal("login", key, "--option", "code").exit_code == 2


def test_a_refused_login_tells_when_to_come_back(site: Site) -> None:
    """The time of RetryInfo is printed as advice."""
    key_id = imported(site, "kiiex", "--field", "api_key=another-key", "--field", "user_id=96")
    result = site.privyseal("login", key_id)
    assert result.exit_code == 1
    assert "VENUE_CREDENTIAL_REJECTED" in result.stderr
    assert "try again in 30 s" in result.stderr
