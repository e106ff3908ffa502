package io.privyseal;

import com.google.protobuf.ByteString;
import io.privyseal.v1.ReportAnswerRequest;
import io.privyseal.v1.SignResponse;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** Tells Privyseal what the venue answered to one signed request. */
record VenueReport(Door door, SignResponse signed) {
    static final int MAX_BYTES = 65_536;

    private static final Duration TIMEOUT = Duration.ofSeconds(2);

    boolean isDue(int status) {
        return switch (door.report()) {
            case ALL -> true;
            case ERRORS -> status >= 400;
            case NONE -> false;
        };
    }

    /** Ends within 2 s and never fails: the caller's answer does not depend on it. */
    CompletableFuture<Void> send(int status, String date, ByteString body) {
        ReportAnswerRequest report = ReportAnswerRequest.newBuilder()
                .setKey(door.key())
                .setHttpStatus(status)
                .setBody(body.substring(0, Math.min(body.size(), MAX_BYTES)))
                .setSignTime(signed.getSignTime())
                .setNonce(signed.getNonce())
                .setDate(date)
                .build();
        return door.client().withTimeout(TIMEOUT).reportAnswerAsync(report).handle((answer, error) -> null);
    }

    @Override
    public String toString() {
        return "VenueReport[" + door.key() + "]";
    }
}
