package io.privyseal;

import com.google.protobuf.ByteString;
import io.grpc.Deadline;
import io.privyseal.v1.ReportAnswerRequest;
import io.privyseal.v1.SignResponse;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Tells Privyseal what the venue answered to one signed request; made when the answer's head is there. */
record VenueReport(Door door, SignResponse signed, int status, String date, Deadline end) {
    static final int MAX_BYTES = 65_536;

    /** How long the beginning of a body is waited for: a half of the time there is, so that what came is told. */
    static final long READ_MILLIS = 1000;

    VenueReport(Door door, SignResponse signed, int status, String date) {
        this(door, signed, status, date, Deadline.after(2 * READ_MILLIS, TimeUnit.MILLISECONDS));
    }

    boolean isDue() {
        return switch (door.report()) {
            case ALL -> status != 101; // Its body is a connection.
            case ERRORS -> status >= 400;
            case NONE -> false;
        };
    }

    /** Ends within 2 s of the answer's head and never fails: the caller's answer does not depend on it. */
    CompletableFuture<Void> send(ByteString body) {
        ReportAnswerRequest report = ReportAnswerRequest.newBuilder()
                .setKey(door.key())
                .setHttpStatus(status)
                .setBody(body.substring(0, Math.min(body.size(), MAX_BYTES)))
                .setSignTime(signed.getSignTime())
                .setNonce(signed.getNonce())
                .setDate(date)
                .build();
        Duration left = Duration.ofNanos(Math.max(1, end.timeRemaining(TimeUnit.NANOSECONDS)));
        return door.client().withTimeout(left).reportAnswerAsync(report).handle((answer, error) -> null);
    }

    @Override
    public String toString() {
        return "VenueReport[" + door.key() + "]";
    }
}
