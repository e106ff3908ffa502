package io.privyseal;

import java.io.ByteArrayOutputStream;
import java.net.http.HttpRequest.BodyPublisher;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;

/** Reads the body of a java.net.http request whole, up to a limit. */
final class BodyReader implements Flow.Subscriber<ByteBuffer> {
    private final int limit;
    private final CompletableFuture<byte[]> body = new CompletableFuture<>();
    private final ByteArrayOutputStream read = new ByteArrayOutputStream();
    private Flow.Subscription subscription;

    private BodyReader(int limit) {
        this.limit = limit;
    }

    static CompletableFuture<byte[]> read(BodyPublisher publisher, int limit) {
        if (publisher.contentLength() > limit) {
            return CompletableFuture.failedFuture(tooLong(limit));
        }
        BodyReader reader = new BodyReader(limit);
        publisher.subscribe(reader);
        return reader.body;
    }

    static NotSentException tooLong(int limit) {
        return new NotSentException("the body is longer than " + limit
                + " bytes; send a shorter one, or give the door a greater maxBodyBytes");
    }

    @Override
    public void onSubscribe(Flow.Subscription subscription) {
        this.subscription = subscription;
        subscription.request(Long.MAX_VALUE);
    }

    @Override
    public void onNext(ByteBuffer buffer) {
        if (buffer.remaining() > limit - read.size()) {
            subscription.cancel();
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
        body.complete(read.toByteArray());
    }
}
