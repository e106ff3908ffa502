package io.privyseal;

import io.grpc.ClientCall;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.Status;
import io.privyseal.v1.Session;
import io.privyseal.v1.SigningServiceGrpc;
import io.privyseal.v1.WatchSessionRequest;
import io.privyseal.v1.WatchSessionResponse;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * A key's sessions and failures as they come.
 *
 * <p>When the stream ends with {@code UNAVAILABLE} (an old connection, a server that stops) it is opened again, without
 * end, and a session that was given is not given twice. So it is when the token that opened it is over, as there may be a
 * fresh one. Any other end is thrown. One thread takes; any may close.
 */
public final class SessionWatch implements AutoCloseable {
    private final Connection connection;
    private final RetryPolicy retries;
    private final WatchSessionRequest request;
    private final BlockingQueue<Object> events = new LinkedBlockingQueue<>();
    private ClientCall<WatchSessionRequest, WatchSessionResponse> current;
    private Session last = Session.getDefaultInstance();
    private int failures;
    private boolean gave;
    private boolean closed;

    SessionWatch(Connection connection, RetryPolicy retries, WatchSessionRequest request) {
        this.connection = connection;
        this.retries = retries;
        this.request = request;
        // The context of the caller may have a deadline; a watch has none.
        Context.ROOT.run(this::open);
    }

    /**
     * Waits for the next event.
     *
     * @return a session or a failure
     * @throws PrivysealException when the watch has ended, was closed, or the thread was interrupted (code
     *     {@code CANCELLED})
     */
    public SessionEvent next() {
        try {
            return given(events.take());
        } catch (InterruptedException e) {
            throw interrupted();
        }
    }

    /**
     * Waits for the next event, for some time.
     *
     * @param timeout how long at most
     * @return a session or a failure; empty when none came in time
     * @throws PrivysealException as {@link #next()}
     */
    public Optional<SessionEvent> next(Duration timeout) {
        try {
            return Optional.ofNullable(events.poll(timeout.toNanos(), TimeUnit.NANOSECONDS))
                    .map(this::given);
        } catch (InterruptedException e) {
            throw interrupted();
        }
    }

    /** Ends the RPC; {@link #next()} then throws {@code CANCELLED}. */
    @Override
    public void close() {
        ClientCall<WatchSessionRequest, WatchSessionResponse> call;
        synchronized (this) {
            if (closed) {
                return;
            }
            call = current;
            end(PrivysealException.local(Status.Code.CANCELLED, "the watch was closed", null));
        }
        call.cancel("the watch was closed", null);
    }

    private SessionEvent given(Object event) {
        if (event instanceof PrivysealException end) {
            events.add(end);
            throw end;
        }
        // Only now, so that a watch that nobody takes from holds one event and not all.
        more();
        return (SessionEvent) event;
    }

    private static PrivysealException interrupted() {
        Thread.currentThread().interrupt();
        return PrivysealException.local(Status.Code.CANCELLED, "the thread was interrupted", null);
    }

    private synchronized void open() {
        if (!closed) {
            gave = false;
            current = connection.channel().newCall(SigningServiceGrpc.getWatchSessionMethod(), connection.options());
            current.start(new Events(), new Metadata());
            current.sendMessage(request);
            current.halfClose();
            current.request(1);
        }
    }

    private synchronized void end(PrivysealException failure) {
        if (!closed) {
            closed = true;
            events.add(failure);
        }
    }

    private synchronized void more() {
        current.request(1);
    }

    private synchronized void take(WatchSessionResponse response) {
        failures = 0;
        gave = true;
        if (closed) {
            return;
        }
        if (response.hasFailure()) {
            events.add(new SessionEvent(null, PrivysealException.of(response.getFailure())));
        } else if (response.hasSession() && !isKnown(response.getSession())) {
            last = response.getSession();
            events.add(new SessionEvent(last, null));
        } else {
            more();
        }
    }

    private boolean isKnown(Session session) {
        return session.getToken().equals(last.getToken())
                && session.getExpireTime().equals(last.getExpireTime());
    }

    private synchronized void ended(PrivysealException failure) {
        if (failure.code() == Status.Code.UNAUTHENTICATED && gave && connection.hasToken()) {
            open();
        } else if (failure.code() != Status.Code.UNAVAILABLE) {
            end(failure);
        } else if (!closed) {
            failures++;
            CompletableFuture.delayedExecutor(retries.backoffNanos(failure, failures), TimeUnit.NANOSECONDS)
                    .execute(this::open);
        }
    }

    /** What comes of the stream while it is open. */
    private final class Events extends ClientCall.Listener<WatchSessionResponse> {
        @Override
        public void onMessage(WatchSessionResponse response) {
            take(response);
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            // A stream that ends well is one that a server ended, too.
            ended(connection.failure(
                    status.isOk() ? Status.UNAVAILABLE.withDescription("the server ended the stream") : status,
                    trailers,
                    false));
        }
    }
}
