package io.privyseal;

import java.io.ByteArrayOutputStream;
import java.net.http.HttpRequest.BodyPublisher;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;

/** Reads the body of a java.net.http request whole, up to a limit. */
final class BodyReader implements Flow.Subscriber<ByteBuffer> {
    private final int limit;
    private final long promised;
    private final CompletableFuture<byte[]> body = new CompletableFuture<>();
    private final ByteArrayOutputStream read = new ByteArrayOutputStream();

    private BodyReader(int limit, long promised) {
        this.limit = limit;
        this.promised = promised;
    }

    /** Returns the body; completing or cancelling the future first ends the reading. */
    /** Returns the body; cancelling the future, or failing it, ends the reading. */
    static CompletableFuture<byte[]> read(BodyPublisher publisher, int limit) {
        try {
            long promised = publisher.contentLength();
            if (promised > limit) {
                return CompletableFuture.failedFuture(tooLong(limit));
            }
            if (promised == 0) {
                return CompletableFuture.completedFuture(new byte[0]);
            }
            BodyReader reader = new BodyReader(limit, promised);
            if (promised > 0) {
                reader.read(publisher);
            } else {
                // Such as a stream, whose reading may block.
                Workers.run(() -> reader.read(publisher));
            }
            return reader.body;
        } catch (RuntimeException e) {
            return CompletableFuture.failedFuture(e);
        }
    }

    private void read(BodyPublisher publisher) {
        try {
            publisher.subscribe(this);
        } catch (RuntimeException | Error e) {
            body.completeExceptionally(e);
        }
    }

    static NotSentException tooLong(int limit) {
        return new NotSentException("the body is longer than " + limit
                + " bytes; send a shorter one, or give the door a greater maxBodyBytes");
    }

    static NotSentException cutShort(long promised, long found) {
        return new NotSentException("the body was to have " + promised + " bytes and has " + found
                + "; look at what it is read from, and send it again");
    }

    @Override
    public void onSubscribe(Flow.Subscription subscription) {
        body.whenComplete((bytes, error) -> {
            if (error != null) {
                subscription.cancel();
            }
        });
        subscription.request(Long.MAX_VALUE);
    }

    @Override
    public void onNext(ByteBuffer buffer) {
        if (buffer.remaining() > limit - read.size()) {
            body.completeExceptionally(tooLong(limit));
        } else {
            byte[] bytes = new byte[buffer.remaining()];
            buffer.get(bytes);
            read.write(bytes, 0, bytes.length);
        }
    }

    @Override
    public void onError(Throwable error) {
        body.completeExceptionally(error);
    }

    @Override
    public void onComplete() {
        if (promised > 0 && promised != read.size()) {
            body.completeExceptionally(cutShort(promised, read.size()));
        } else {
            body.complete(read.toByteArray());
        }
    }
}
