package io.privyseal;

import com.google.protobuf.ByteString;
import io.grpc.Deadline;
import io.privyseal.v1.HttpRequest;
import io.privyseal.v1.LoginRequest;
import io.privyseal.v1.SignRequest;
import io.privyseal.v1.SignResponse;
import java.net.http.HttpClient;
import java.time.Duration;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * Where HTTP requests go out signed with one key, by the HTTP library that is given to it.
 *
 * <p>Each send is signed anew and goes out as it was signed, byte for byte, to the venue's own URL: scheme and host of
 * the request do not count. It can be shared by many threads.
 */
public final class Door {
    static final int MAX_BODY_BYTES = 1_048_576;

    private static final Duration DAY = Duration.ofDays(1);

    private final PrivysealClient client;
    private final String key;
    private final boolean login;
    private final Report report;
    private final int maxBodyBytes;

    /** Which of the venue's answers are told to Privyseal, so that it puts nonces and sessions right. */
    public enum Report {
        /** Those with status 400 or more. */
        ERRORS,
        /** All, for a venue that tells errors with status 200. */
        ALL,
        /** None. */
        NONE
    }

    Door(PrivysealClient client, String key, boolean login, Report report, int maxBodyBytes) {
        this.client = client;
        this.key = key;
        this.login = login;
        this.report = report;
        this.maxBodyBytes = maxBodyBytes;
    }

    /**
     * Never logs in by itself; {@code SESSION_MISSING} then reaches the caller.
     *
     * @return the same door without logins
     */
    public Door withoutLogin() {
        return new Door(client, key, false, report, maxBodyBytes);
    }

    /**
     * Sets which answers are reported: the errors unless this says otherwise.
     *
     * @param report which
     * @return the same door with that
     */
    public Door withReport(Report report) {
        return new Door(client, key, login, Objects.requireNonNull(report, "report"), maxBodyBytes);
    }

    /**
     * Sets how long a body may be: 1 MiB unless this says otherwise. It is read whole before it is signed.
     *
     * @param maxBodyBytes in bytes, 0 or more
     * @return the same door with that
     */
    public Door withMaxBodyBytes(int maxBodyBytes) {
        if (maxBodyBytes < 0) {
            throw new ConfigurationException("maxBodyBytes", "is " + maxBodyBytes + "; give 0 or more");
        }
        return new Door(client, key, login, report, maxBodyBytes);
    }

    /**
     * Returns an HTTP client that signs through this door. Its {@code send} and {@code sendAsync} fail with
     * {@link NotSentException} where nothing was sent. What it wraps stays the caller's to close.
     *
     * @param httpClient what sends; one that follows redirects, or has an authenticator or a cookie handler, is refused,
     *     as it would send signed bytes a second time or change them
     * @return what to send requests with
     */
    public HttpClient over(HttpClient httpClient) {
        return new SigningHttpClient(this, httpClient);
    }

    /** A request as it would go over the wire. */
    record Draft(String method, String path, String contentType, byte[] body) {}

    PrivysealClient client() {
        return client;
    }

    String key() {
        return key;
    }

    Report report() {
        return report;
    }

    int maxBodyBytes() {
        return maxBodyBytes;
    }

    /** Returns the same or a day: longer ones, up to forever, can't be counted in nanoseconds. */
    static Duration capped(Duration timeout) {
        return timeout.compareTo(DAY) < 0 ? timeout : DAY;
    }

    /** The client's calls, in the time that a request has, where it has any. */
    Supplier<Calls> within(Duration timeout) {
        if (timeout == null) {
            return () -> client;
        }
        Deadline deadline = Deadline.after(capped(timeout).toNanos(), TimeUnit.NANOSECONDS);
        Duration own = client.settings().timeout();
        return () -> {
            Duration left = Duration.ofNanos(Math.max(1, deadline.timeRemaining(TimeUnit.NANOSECONDS)));
            return client.withTimeout(left.compareTo(own) < 0 ? left : own);
        };
    }

    SignResponse sign(Draft draft, Supplier<Calls> calls) {
        try {
            return calls.get().sign(request(draft));
        } catch (PrivysealException e) {
            if (!isToLogIn(e)) {
                throw e;
            }
            calls.get().login(loginRequest());
            return calls.get().sign(request(draft));
        }
    }

    CompletableFuture<SignResponse> signAsync(Draft draft, Supplier<Calls> calls, Relay<?> relay) {
        return relay.follow(calls.get().signAsync(request(draft)))
                .handle((response, error) -> {
                    if (error == null) {
                        return CompletableFuture.completedFuture(response);
                    }
                    if (!isToLogIn(Relay.unwrapped(error))) {
                        throw new CompletionException(Relay.unwrapped(error));
                    }
                    return relay.follow(calls.get().loginAsync(loginRequest()))
                            .thenCompose(done -> relay.follow(calls.get().signAsync(request(draft))));
                })
                .thenCompose(next -> next);
    }

    private boolean isToLogIn(Throwable error) {
        return login && error instanceof PrivysealException e && e.reason().equals("SESSION_MISSING");
    }

    private LoginRequest loginRequest() {
        return LoginRequest.newBuilder().setKey(key).build();
    }

    private SignRequest request(Draft draft) {
        SignRequest.Builder request = SignRequest.newBuilder()
                .setKey(key)
                .setHttpRequest(HttpRequest.newBuilder()
                        .setMethod(draft.method())
                        .setPath(draft.path())
                        .setContentType(draft.contentType())
                        .setBody(ByteString.copyFrom(draft.body())));
        if (client.settings().maxAttempts() > 1) {
            request.setRequestId(UUID.randomUUID().toString());
        }
        return request.build();
    }

    @Override
    public String toString() {
        return "Door[" + key + ", login=" + login + ", report=" + report + ", maxBodyBytes=" + maxBodyBytes + "]";
    }
}
