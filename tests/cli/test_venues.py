import json

from cli.program import Site


def test_venues_are_listed(site: Site) -> None:
    """The table has a row a venue, and JSON has the same venues."""
    table = site.privyseal("venues", "list")
    listed = json.loads(site.privyseal("venues", "list", "--json").stdout)
    names = ["aster", "aster-v3", "kiiex", "nebulaex", "whitebit"]
    firsts = [line.split()[0] for line in table.stdout.splitlines() if line.strip()]
    assert table.exit_code == 0
    assert [each for each in firsts if each in names] == names
    assert [venue["name"] for venue in listed["venues"]] == names


def test_a_venue_is_shown(site: Site) -> None:
    """All that a desk must know: fields, options, nonces, base URL, operations."""
    shown = site.privyseal("venues", "show", "kiiex").stdout
    whitebit = site.privyseal("venues", "show", "whitebit").stdout
    as_json = json.loads(site.privyseal("venues", "show", "kiiex", "--json").stdout)
    for words in ("user_id", "two_factor_code", "CreateWithdrawTicket", "withdrawal"):
        assert words in shown
    assert site.sandbox["venues"]["kiiex"] in shown
    assert "unique, in ms, within 5000 ms of the venue" in whitebit
    assert as_json["login_options"][0]["name"] == "credentials_in"
    tags = {each["name"]: each["tags"] for each in as_json["operations"]}
    assert tags["TransferFunds"] == ["transfer"]
    assert tags["CancelOrder"] == ["trade", "cancel"]


def test_a_venue_that_there_is_not(site: Site) -> None:
    """The right names are told."""
    result = site.privyseal("venues", "show", "mtgox")
    assert result.exit_code == 1
    assert "NOT_FOUND (VENUE_UNKNOWN)" in result.stderr
    assert "whitebit" in result.stderr
