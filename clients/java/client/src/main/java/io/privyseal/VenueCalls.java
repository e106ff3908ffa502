package io.privyseal;

import io.privyseal.v1.GetVenueRequest;
import io.privyseal.v1.GetVenueResponse;
import io.privyseal.v1.ListVenuesRequest;
import io.privyseal.v1.ListVenuesResponse;
import io.privyseal.v1.VenueServiceGrpc;
import java.util.concurrent.CompletableFuture;

/** What the server can sign for: the RPCs of {@code VenueService}. */
public interface VenueCalls extends UnaryCalls {
    /**
     * Returns all that the server knows of a venue.
     *
     * @param request what is asked
     * @return the venue
     * @throws PrivysealException when it is refused or can't be reached
     */
    default GetVenueResponse getVenue(GetVenueRequest request) {
        return call(VenueServiceGrpc.getGetVenueMethod(), request);
    }

    /**
     * As {@link #getVenue}, without blocking.
     *
     * @param request what is asked
     * @return the venue; fails with {@link PrivysealException}
     */
    default CompletableFuture<GetVenueResponse> getVenueAsync(GetVenueRequest request) {
        return callAsync(VenueServiceGrpc.getGetVenueMethod(), request);
    }

    /**
     * Returns a page of the venues, in the order of their names.
     *
     * @param request what is asked
     * @return the page
     * @throws PrivysealException when it is refused or can't be reached
     */
    default ListVenuesResponse listVenues(ListVenuesRequest request) {
        return call(VenueServiceGrpc.getListVenuesMethod(), request);
    }

    /**
     * As {@link #listVenues}, without blocking.
     *
     * @param request what is asked
     * @return the page; fails with {@link PrivysealException}
     */
    default CompletableFuture<ListVenuesResponse> listVenuesAsync(ListVenuesRequest request) {
        return callAsync(VenueServiceGrpc.getListVenuesMethod(), request);
    }
}
