package io.privyseal;

import com.google.protobuf.ByteString;
import java.net.http.HttpResponse.BodySubscriber;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;

/**
 * Holds an answer's body back until its beginning has been reported, and then gives it to the caller's subscriber whole.
 * Venue, clock and caller signal from threads of their own; {@link #turn} puts what the caller's subscriber gets in a row.
 */
final class ReportingSubscriber<T> implements BodySubscriber<T>, Flow.Subscription {
    private final BodySubscriber<T> caller;
    private final Function<ByteString, CompletableFuture<Void>> report;
    private final CompletableFuture<T> body = new CompletableFuture<>();
    private final CompletableFuture<Void> begun = new CompletableFuture<>();
    private final Queue<List<ByteBuffer>> held = new ConcurrentLinkedQueue<>();
    private final AtomicInteger size = new AtomicInteger();
    private final AtomicLong demand = new AtomicLong();
    private final AtomicInteger turns = new AtomicInteger();
    private volatile Flow.Subscription venue;
    private volatile boolean asked;
    private volatile boolean ended;
    private volatile Throwable failure;
    private volatile boolean reported;
    private volatile boolean over;
    private boolean subscribed;

    ReportingSubscriber(BodySubscriber<T> caller, Function<ByteString, CompletableFuture<Void>> report) {
        this.caller = caller;
        this.report = report;
    }

    @Override
    public CompletionStage<T> getBody() {
        return body;
    }

    @Override
    public void onSubscribe(Flow.Subscription subscription) {
        venue = subscription;
        begun.completeOnTimeout(null, VenueReport.READ_MILLIS, TimeUnit.MILLISECONDS)
                .thenCompose(done -> report.apply(beginning()))
                .whenComplete((done, error) -> {
                    reported = true;
                    turn();
                });
        ask();
    }

    @Override
    public void onNext(List<ByteBuffer> buffers) {
        held.add(buffers);
        asked = false;
        int bytes = buffers.stream().mapToInt(ByteBuffer::remaining).sum();
        if (reported) {
            turn();
        } else if (size.addAndGet(bytes) < VenueReport.MAX_BYTES) {
            ask();
        } else {
            begun.complete(null);
            turn();
        }
    }

    @Override
    public void onComplete() {
        ended = true;
        begun.complete(null);
        turn();
    }

    @Override
    public void onError(Throwable error) {
        failure = error;
        onComplete();
    }

    @Override
    public void request(long count) {
        if (count <= 0) {
            failure = new IllegalArgumentException("a subscriber asked for " + count + " items");
            ended = true;
            venue.cancel();
        } else {
            demand.accumulateAndGet(count, (left, more) -> left + more < 0 ? Long.MAX_VALUE : left + more);
        }
        turn();
    }

    @Override
    public void cancel() {
        over = true;
        venue.cancel();
    }

    private ByteString beginning() {
        return ByteString.copyFrom(held.stream()
                .flatMap(List::stream)
                .map(buffer -> ByteString.copyFrom(buffer.duplicate()))
                .toList());
    }

    private void ask() {
        asked = true;
        venue.request(1);
    }

    private void turn() {
        if (turns.getAndIncrement() > 0) {
            return;
        }
        do {
            if (reported && !over) {
                try {
                    give();
                } catch (Throwable e) {
                    // As the JDK has it: what the caller's subscriber throws is what comes of the body.
                    cancel();
                    body.completeExceptionally(e);
                }
            }
        } while (turns.decrementAndGet() > 0);
    }

    private void give() {
        if (!subscribed) {
            subscribed = true;
            caller.onSubscribe(this);
            caller.getBody().whenComplete((value, error) -> {
                if (error == null) {
                    body.complete(value);
                } else {
                    body.completeExceptionally(error);
                }
            });
        }
        // Read before the queue: what came is in the queue when this is true.
        boolean last = ended;
        while (!over && demand.get() > 0 && !held.isEmpty()) {
            demand.updateAndGet(left -> left == Long.MAX_VALUE ? left : left - 1);
            caller.onNext(held.poll());
        }
        if (over || !held.isEmpty()) {
            return;
        }
        if (!last) {
            if (demand.get() > 0 && !asked) {
                ask();
            }
            return;
        }
        over = true;
        if (failure == null) {
            caller.onComplete();
        } else {
            caller.onError(failure);
        }
    }
}
