package io.privyseal;

import com.google.protobuf.ByteString;
import java.net.http.HttpResponse.BodySubscriber;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;
import java.util.function.Function;

/**
 * Holds an answer's body back until its beginning has been reported, and then gives it to the caller's subscriber whole.
 */
final class ReportingSubscriber<T> implements BodySubscriber<T> {
    private final BodySubscriber<T> caller;
    private final Function<ByteString, CompletableFuture<Void>> report;
    private final CompletableFuture<Void> reported = new CompletableFuture<>();
    private final List<ByteBuffer> held = new ArrayList<>();
    private Flow.Subscription venue;
    private int size;
    private boolean ended;
    private volatile boolean passing;

    ReportingSubscriber(BodySubscriber<T> caller, Function<ByteString, CompletableFuture<Void>> report) {
        this.caller = caller;
        this.report = report;
    }

    @Override
    public CompletionStage<T> getBody() {
        return reported.thenCompose(done -> caller.getBody());
    }

    @Override
    public void onSubscribe(Flow.Subscription subscription) {
        venue = subscription;
        venue.request(1);
    }

    @Override
    public void onNext(List<ByteBuffer> buffers) {
        if (passing) {
            caller.onNext(buffers);
            return;
        }
        held.addAll(buffers);
        size += buffers.stream().mapToInt(ByteBuffer::remaining).sum();
        if (size < VenueReport.MAX_BYTES) {
            venue.request(1);
        } else {
            sendReport();
        }
    }

    @Override
    public void onComplete() {
        if (passing) {
            caller.onComplete();
        } else {
            ended = true;
            sendReport();
        }
    }

    @Override
    public void onError(Throwable error) {
        pass();
        caller.onError(error);
    }

    private void sendReport() {
        ByteString first = ByteString.copyFrom(held.stream()
                .map(buffer -> ByteString.copyFrom(buffer.duplicate()))
                .toList());
        report.apply(first).thenRun(this::pass);
    }

    private void pass() {
        synchronized (this) {
            if (passing) {
                return;
            }
            passing = true;
        }
        caller.onSubscribe(new HeldBack());
        reported.complete(null);
    }

    /** Gives what was held back first, and then what comes from the venue. */
    private final class HeldBack implements Flow.Subscription {
        private boolean given;

        @Override
        public void request(long count) {
            if (given) {
                venue.request(count);
                return;
            }
            given = true;
            if (!held.isEmpty()) {
                caller.onNext(List.copyOf(held));
            }
            if (ended) {
                caller.onComplete();
            } else if (count > 1) {
                venue.request(count - 1);
            }
        }

        @Override
        public void cancel() {
            given = true;
            venue.cancel();
        }
    }
}
