package io.privyseal;

import java.io.UncheckedIOException;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.ByteBuffer;
import java.util.concurrent.Flow;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A signed body that is sent once. The JDK sends a request again where a kept connection breaks under it: a GET always,
 * others with {@code jdk.httpclient.enableAllMethodRetry}. It asks for the length once for each sending, also of a body
 * that is empty, and that is where a second one is stopped.
 */
final class OncePublisher implements BodyPublisher {
    private final byte[] body;
    private final BodyPublisher bytes;
    private final AtomicBoolean begun = new AtomicBoolean();

    OncePublisher(byte[] body) {
        this.body = body;
        this.bytes = BodyPublishers.ofByteArray(body);
    }

    @Override
    public long contentLength() {
        if (!begun.compareAndSet(false, true)) {
            throw new UncheckedIOException(new SentOnceException());
        }
        return body.length;
    }

    @Override
    public void subscribe(Flow.Subscriber<? super ByteBuffer> subscriber) {
        bytes.subscribe(subscriber);
    }
}
