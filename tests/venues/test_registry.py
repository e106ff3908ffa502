"""The venues by name."""

import pytest

from privyseald.errors import FieldInvalid, VenueUnknown
from privyseald.venues.nebulaex import Nebulaex
from privyseald.venues.registry import Venues, issues_keys, opens_sessions, register
from privyseald.venues.venue import Environment

NAMES = ["aster", "aster-v3", "kiiex", "nebulaex", "whitebit"]


def test_the_venues_are_found_by_their_files() -> None:
    """Every file's venue is there, in the order of names."""
    assert [venue.name for venue in Venues()] == NAMES


def test_a_name_that_is_taken_raises() -> None:
    """Two venues of one name are a mistake, and the first one stays."""
    first = Venues().get("nebulaex")
    with pytest.raises(ValueError, match="two venues are named 'nebulaex'"):
        register(Nebulaex)
    assert first is Venues().get("nebulaex")


@pytest.mark.parametrize("name", ["", "Whitebit", "binance", "x" * 100])
def test_an_unknown_venue_is_refused(name: str) -> None:
    """The refusal lists those that there are, and bounds what it repeats."""
    with pytest.raises(VenueUnknown, match=", ".join(NAMES)) as caught:
        Venues().get(name)
    assert caught.value.metadata == {"venue": name[:64]}


def test_the_first_environment_is_meant_where_none_is_named() -> None:
    """An empty name is the venue's first environment."""
    venues = Venues()
    venue = venues.get("kiiex")
    assert venues.environment(venue, "").name == "production"
    assert venues.environment(venue, "staging").name == "staging"


def test_an_unknown_environment_is_refused_by_field() -> None:
    """The refusal names the field and the environments that there are."""
    venues = Venues()
    with pytest.raises(FieldInvalid, match="production, staging") as caught:
        venues.environment(venues.get("kiiex"), "prod", "imported.environment")
    assert caught.value.field == "imported.environment"


def test_a_base_url_replaces_all_hosts_of_its_environment_alone() -> None:
    """The config may point an environment elsewhere; a slash at the end is dropped."""
    venues = Venues({"aster": {"testnet": "http://127.0.0.1:9/x/"}})
    aster = venues.get("aster")
    testnet = venues.environment(aster, "testnet")
    for path in ("/fapi/v1/x", "/api/v1/x", "/papi/v1/x", "/bapi/x"):
        assert testnet.url(path) == f"http://127.0.0.1:9/x{path}"
    assert testnet.url("/other") is None
    production = venues.environment(aster, "")
    assert production.url("/fapi/v1/x") == "https://fapi.asterdex.com/fapi/v1/x"
    assert production == Venues().environment(aster, "")


def test_an_override_changes_no_other_table() -> None:
    """A second table knows nothing of the first one's config."""
    Venues({"whitebit": {"production": "http://127.0.0.1:9"}})
    plain = Venues()
    url = plain.environment(plain.get("whitebit"), "").url("/api/v4/x")
    assert url == "https://whitebit.com/api/v4/x"


def test_an_override_of_nothing_is_refused() -> None:
    """An unknown venue or environment in the config stops the start, named."""
    with pytest.raises(FieldInvalid) as caught:
        Venues({"binance": {"production": "http://127.0.0.1:9"}})
    assert caught.value.field == "venues.binance"
    with pytest.raises(FieldInvalid) as caught:
        Venues({"whitebit": {"testnet": "http://127.0.0.1:9"}})
    assert caught.value.field == "venues.whitebit.base_urls.testnet"


def test_a_venue_shows_what_it_can_do() -> None:
    """Logging in and issuing keys are told by having the means."""
    venues = Venues()
    assert [each.name for each in venues if opens_sessions(each)] == ["aster", "aster-v3", "kiiex"]
    assert [each.name for each in venues if issues_keys(each)] == ["aster"]


def test_the_first_beginning_that_fits_serves_a_path() -> None:
    """Hosts are looked through in order."""
    environment = Environment("x", (("/a/b/", "https://one"), ("/a/", "https://two")))
    assert environment.url("/a/b/c") == "https://one/a/b/c"
    assert environment.url("/a/c") == "https://two/a/c"
    assert environment.url("/ab") is None
