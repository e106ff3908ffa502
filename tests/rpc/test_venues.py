from typing import Any

import pytest

from privyseal.v1 import venue_service_pb2 as pb
from privyseald.venues.registry import Venues
from service import STRANGER, Failure, Service, Stubs, failure_of

_NAMES = ["aster", "aster-v3", "kiiex", "nebulaex", "whitebit"]


async def page(stubs: Stubs, **fields: Any) -> tuple[list[str], str]:
    """Return the names on a page, and the token of the next."""
    answer = await stubs.venues.ListVenues(pb.ListVenuesRequest(**fields))
    return [venue.name for venue in answer.venues], answer.next_page_token


async def test_anybody_proved_sees_the_venues(service: Service) -> None:
    """Discovery needs no rule, only a name."""
    stranger = await service.as_caller(STRANGER)
    assert await page(stranger) == (_NAMES, "")


async def test_venues_come_in_pages(operator: Stubs) -> None:
    """Venues are listed in the order of their names, each once."""
    first, token = await page(operator, page_size=3)
    assert (first, await page(operator, page_size=3, page_token=token)) == (
        _NAMES[:3],
        (_NAMES[3:], ""),
    )
    assert await page(operator, page_size=5) == (_NAMES, "")


@pytest.mark.parametrize("name", _NAMES)
async def test_a_venue_says_what_it_takes(service: Service, operator: Stubs, name: str) -> None:
    """GetVenue returns what ListVenues has, with the base URLs in use."""
    venue = (await operator.venues.GetVenue(pb.GetVenueRequest(name=name))).venue
    listed = (await operator.venues.ListVenues(pb.ListVenuesRequest())).venues
    assert venue in listed
    server = service.sandbox.urls[name.partition("-")[0]]
    assert list(venue.environments[0].base_urls) == [server]
    assert venue.about
    assert all(kind.intents for kind in venue.key_kinds)
    assert service.audit_lines()[0]["venue"] == name


async def test_discovery_tells_what_works(operator: Stubs) -> None:
    """Sessions and issued keys are announced where they work, with their options."""
    venues = (await operator.venues.ListVenues(pb.ListVenuesRequest())).venues
    assert {
        venue.name: (
            venue.opens_sessions,
            [option.name for option in venue.login_options],
            venue.issues_keys,
            [option.name for option in venue.create_key_options],
        )
        for venue in venues
    } == {
        "aster": (True, ["agent_code", "client_type"], True, ["source_code", "client_type"]),
        "aster-v3": (True, ["agent_code", "client_type"], False, []),
        "kiiex": (True, ["credentials_in", "two_factor_code"], False, []),
        "nebulaex": (False, [], False, []),
        "whitebit": (False, [], False, []),
    }


async def test_nonces_and_coverage_are_told(operator: Stubs) -> None:
    """What a signature binds and how a nonce is judged stands in the answer."""
    venues = (await operator.venues.ListVenues(pb.ListVenuesRequest())).venues
    assert {
        venue.name: (
            venue.coverage,
            [(each.unit, each.order, each.window_ms) for each in venue.nonce_policies],
        )
        for venue in venues
    } == {
        "aster": ("parameters", []),
        "aster-v3": ("parameters", [("us", "unique", 10_000)]),
        "kiiex": ("nothing", [("ms", "unique", 0)]),
        "nebulaex": ("nothing", [("ms", "increasing", 5_000)]),
        "whitebit": ("path-and-body", [("ms", "unique", 5_000), ("ms", "increasing", 0)]),
    }


async def test_every_operation_of_every_venue_is_listed(operator: Stubs) -> None:
    """The table of operations is sent whole."""
    venues = (await operator.venues.ListVenues(pb.ListVenuesRequest())).venues
    assert {venue.name: len(venue.operations) for venue in venues} == {
        venue.name: len(venue.operations) for venue in Venues()
    }


async def test_an_unknown_venue_is_not_found(operator: Stubs) -> None:
    """A wrong name is told with the right ones."""
    request = pb.GetVenueRequest(name="withebit")
    assert await failure_of(operator.venues.GetVenue(request)) == Failure(
        "NOT_FOUND",
        f"there is no such venue; this server has {', '.join(_NAMES)}",
        "VENUE_UNKNOWN",
        {"venue": "withebit"},
    )


@pytest.mark.parametrize("fields", [{"page_size": -1}, {"page_token": "@"}])
async def test_a_wrong_page_is_refused(operator: Stubs, fields: dict[str, Any]) -> None:
    """Pages of venues have the limits that pages of keys have."""
    request = pb.ListVenuesRequest(**fields)
    failure = await failure_of(operator.venues.ListVenues(request))
    assert (failure.code, failure.field_name) == ("INVALID_ARGUMENT", next(iter(fields)))
