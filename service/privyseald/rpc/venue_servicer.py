"""VenueService over the registry of venues."""

from privyseal.v1 import venue_service_pb2 as pb
from privyseald.clock_offsets import ClockOffsets
from privyseald.rpc.call import Call
from privyseald.rpc.convert import venue_message
from privyseald.rpc.page import page_after, page_size, page_token
from privyseald.venues.registry import Venues


class VenueServicer:
    """Translates; decides nothing. Any proved caller may ask."""

    def __init__(self, venues: Venues, offsets: ClockOffsets) -> None:
        self._venues = venues
        self._offsets = offsets

    async def get_venue(self, request: pb.GetVenueRequest, call: Call) -> pb.GetVenueResponse:
        """Return all that is known of a venue."""
        venue = self._venues.get(request.name)
        call.entry.venue = venue.name
        return pb.GetVenueResponse(venue=venue_message(venue, self._venues, self._offsets))

    async def list_venues(self, request: pb.ListVenuesRequest, call: Call) -> pb.ListVenuesResponse:
        """Return a page of venues."""
        after, size = page_after(request.page_token), page_size(request.page_size)
        rest = [venue for venue in self._venues if venue.name > after]
        page = rest[:size]
        return pb.ListVenuesResponse(
            venues=[venue_message(venue, self._venues, self._offsets) for venue in page],
            next_page_token=page_token(page[-1].name if len(rest) > size else ""),
        )
