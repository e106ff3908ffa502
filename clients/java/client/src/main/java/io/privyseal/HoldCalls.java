package io.privyseal;

import io.privyseal.v1.CreateHoldRequest;
import io.privyseal.v1.CreateHoldResponse;
import io.privyseal.v1.DeleteHoldRequest;
import io.privyseal.v1.DeleteHoldResponse;
import io.privyseal.v1.HoldServiceGrpc;
import io.privyseal.v1.ListHoldsRequest;
import io.privyseal.v1.ListHoldsResponse;
import java.util.concurrent.CompletableFuture;

/** The kill switch: the RPCs of {@code HoldService}. */
public interface HoldCalls extends UnaryCalls {
    /**
     * Stops what the hold names, on every replica. With a {@code request_id} it is tried again.
     *
     * @param request what is asked
     * @return the hold, in force
     * @throws PrivysealException when it is refused or can't be reached
     */
    default CreateHoldResponse createHold(CreateHoldRequest request) {
        return call(HoldServiceGrpc.getCreateHoldMethod(), request);
    }

    /**
     * As {@link #createHold}, without blocking.
     *
     * @param request what is asked
     * @return the hold, in force; fails with {@link PrivysealException}
     */
    default CompletableFuture<CreateHoldResponse> createHoldAsync(CreateHoldRequest request) {
        return callAsync(HoldServiceGrpc.getCreateHoldMethod(), request);
    }

    /**
     * Returns a page of the holds in force that the caller may read.
     *
     * @param request what is asked
     * @return the page
     * @throws PrivysealException when it is refused or can't be reached
     */
    default ListHoldsResponse listHolds(ListHoldsRequest request) {
        return call(HoldServiceGrpc.getListHoldsMethod(), request);
    }

    /**
     * As {@link #listHolds}, without blocking.
     *
     * @param request what is asked
     * @return the page; fails with {@link PrivysealException}
     */
    default CompletableFuture<ListHoldsResponse> listHoldsAsync(ListHoldsRequest request) {
        return callAsync(HoldServiceGrpc.getListHoldsMethod(), request);
    }

    /**
     * Lifts a hold.
     *
     * @param request what is asked
     * @return an empty answer
     * @throws PrivysealException when it is refused or can't be reached
     */
    default DeleteHoldResponse deleteHold(DeleteHoldRequest request) {
        return call(HoldServiceGrpc.getDeleteHoldMethod(), request);
    }

    /**
     * As {@link #deleteHold}, without blocking.
     *
     * @param request what is asked
     * @return an empty answer; fails with {@link PrivysealException}
     */
    default CompletableFuture<DeleteHoldResponse> deleteHoldAsync(DeleteHoldRequest request) {
        return callAsync(HoldServiceGrpc.getDeleteHoldMethod(), request);
    }
}
