package io.privyseal;

import com.google.protobuf.Message;
import io.grpc.MethodDescriptor;
import io.privyseal.v1.WatchSessionRequest;
import java.net.http.HttpClient;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Supplier;

/**
 * A client of a Privyseal service: its RPCs, its sessions as they change, and doors through which HTTP requests go out
 * signed.
 *
 * <p>Make one and share it: it is safe for use by many threads, holds one connection to each address of its targets, and
 * opens them with the first call. It logs nothing.
 */
public final class PrivysealClient implements Calls, AutoCloseable {
    private final Settings settings;
    private final Connection connection;
    private final RetryPolicy retries;
    private final View view;

    private PrivysealClient(Settings settings) {
        this.settings = settings;
        this.connection = new Connection(settings);
        this.retries = new RetryPolicy(
                settings.maxAttempts(), () -> ThreadLocalRandom.current().nextDouble());
        this.view = new View(connection, retries, settings.timeout());
    }

    /**
     * Begins a client.
     *
     * @return a builder without a target
     */
    public static Builder builder() {
        return new Builder();
    }

    @Override
    public <Q extends Message, A> A call(MethodDescriptor<Q, A> method, Q request) {
        return view.call(method, request);
    }

    @Override
    public <Q extends Message, A> CompletableFuture<A> callAsync(MethodDescriptor<Q, A> method, Q request) {
        return view.callAsync(method, request);
    }

    /**
     * Returns the same calls with another timeout: {@code client.withTimeout(ofSeconds(2)).sign(request)}.
     *
     * @param timeout for all attempts of a call together, at most an hour
     * @return the calls, over this client's connections
     */
    public Calls withTimeout(Duration timeout) {
        return new View(connection, retries, Settings.checkTimeout(timeout));
    }

    /**
     * Watches a key's session. It has no deadline; close it when done.
     *
     * @param request which key
     * @return the sessions and failures as they come
     */
    public SessionWatch watchSession(WatchSessionRequest request) {
        return new SessionWatch(connection, retries, request);
    }

    /**
     * Makes a door for HTTP requests to a key's venue.
     *
     * @param key the key's name, {@code keys/{key}}
     * @return a door that logs in when needed, and reports the venue's errors
     */
    public Door door(String key) {
        return new Door(this, Objects.requireNonNull(key, "key"), true, Door.Report.ERRORS, Door.MAX_BODY_BYTES);
    }

    /**
     * Returns an HTTP client whose requests go out signed; short for {@link Door#over(HttpClient)}.
     *
     * @param key the key's name, {@code keys/{key}}
     * @param httpClient what sends; it must not follow redirects, nor have an authenticator or a cookie handler
     * @return what to send requests with
     */
    public HttpClient httpClient(String key, HttpClient httpClient) {
        return door(key).over(httpClient);
    }

    Settings settings() {
        return settings;
    }

    /** Ends all calls and watches, and closes the connections. */
    @Override
    public void close() {
        connection.close();
    }

    @Override
    public String toString() {
        return "PrivysealClient[" + settings + "]";
    }

    /** What a client is made of. Nothing is sent before the first call. */
    public static final class Builder {
        private final List<String> targets = new ArrayList<>();
        private Tls tls;
        private boolean plaintext;
        private Supplier<String> token;
        private Duration timeout = Duration.ofSeconds(10);
        private int maxAttempts = 4;

        private Builder() {}

        /**
         * Adds a server. Given several times, RPCs go to all addresses of all of them in turn.
         *
         * @param target {@code host:port}, {@code [address]:port} or {@code unix:/absolute/path}
         * @return this
         */
        public Builder target(String target) {
            targets.add(Objects.requireNonNull(target, "target"));
            return this;
        }

        /**
         * Sets the files of TLS.
         *
         * @param tls the CA, and for mTLS a certificate and its key
         * @return this
         */
        public Builder tls(Tls tls) {
            this.tls = tls;
            return this;
        }

        /**
         * Goes without TLS, which is only allowed to loopback addresses and Unix sockets.
         *
         * @return this
         */
        public Builder plaintext() {
            this.plaintext = true;
            return this;
        }

        /**
         * Sends the bearer token that a file holds, read again at most once a second.
         *
         * @param file the token, alone
         * @return this
         */
        public Builder tokenFile(Path file) {
            return token(new TokenFile(Objects.requireNonNull(file, "file"), System::nanoTime));
        }

        /**
         * Sends a bearer token.
         *
         * @param source asked anew for each attempt of each RPC, by any thread; it should not block for long
         * @return this
         */
        public Builder token(Supplier<String> source) {
            this.token = source;
            return this;
        }

        /**
         * Sets how long a call may take, its retries included: 10 s unless this says otherwise.
         *
         * @param timeout more than 0, at most an hour
         * @return this
         */
        public Builder timeout(Duration timeout) {
            this.timeout = Objects.requireNonNull(timeout, "timeout");
            return this;
        }

        /**
         * Sets how often a call is tried: 4 times unless this says otherwise.
         *
         * @param maxAttempts 1 turns retries off
         * @return this
         */
        public Builder maxAttempts(int maxAttempts) {
            this.maxAttempts = maxAttempts;
            return this;
        }

        /**
         * Makes the client, and reads the files that it names.
         *
         * @return a client, to be closed
         * @throws ConfigurationException when a setting can't be right; it names the setting
         */
        public PrivysealClient build() {
            return new PrivysealClient(new Settings(
                    targets.stream().map(Target::parse).toList(), tls, plaintext, token, timeout, maxAttempts));
        }
    }
}
