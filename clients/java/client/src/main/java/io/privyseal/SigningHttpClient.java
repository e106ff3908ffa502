package io.privyseal;

import io.privyseal.v1.SignResponse;
import java.io.IOException;
import java.net.Authenticator;
import java.net.CookieHandler;
import java.net.ProxySelector;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandler;
import java.net.http.HttpResponse.PushPromiseHandler;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;

/** The door for java.net.http: has each request signed, and sends it by another client. */
final class SigningHttpClient extends HttpClient {
    private final Door door;
    private final HttpClient sender;

    SigningHttpClient(Door door, HttpClient sender) {
        if (sender.followRedirects() != Redirect.NEVER) {
            throw new ConfigurationException(
                    "httpClient", "follows redirects, and would send signed headers elsewhere; build it without");
        }
        if (sender.authenticator().isPresent()) {
            throw new ConfigurationException(
                    "httpClient", "has an authenticator, and would send signed bytes twice; build it without");
        }
        this.door = door;
        this.sender = sender;
    }

    @Override
    public <T> HttpResponse<T> send(HttpRequest request, BodyHandler<T> handler)
            throws IOException, InterruptedException {
        Duration timeout = request.timeout().orElse(null);
        long start = System.nanoTime();
        Supplier<Calls> calls = door.within(timeout);
        byte[] body = body(request);
        SignResponse signed;
        try {
            signed = door.sign(JdkRequest.draft(request, body), calls);
        } catch (PrivysealException e) {
            if (e.code() == io.grpc.Status.Code.CANCELLED && Thread.interrupted()) {
                throw new InterruptedException("interrupted while the request was signed");
            }
            throw new NotSentException(e);
        }
        HttpRequest outgoing = JdkRequest.of(signed, request, left(timeout, start));
        try {
            return sender.send(outgoing, reporting(handler, signed));
        } catch (IOException e) {
            throw JdkRequest.plain(e) instanceof SentOnceException once ? once : e;
        }
    }

    @Override
    public <T> CompletableFuture<HttpResponse<T>> sendAsync(HttpRequest request, BodyHandler<T> handler) {
        return sendAsync(request, handler, null);
    }

    @Override
    public <T> CompletableFuture<HttpResponse<T>> sendAsync(
            HttpRequest request, BodyHandler<T> handler, PushPromiseHandler<T> pushes) {
        Duration timeout = request.timeout().orElse(null);
        long start = System.nanoTime();
        Supplier<Calls> calls = door.within(timeout);
        Relay<HttpResponse<T>> answer = new Relay<>();
        bodyAsync(request)
                .thenCompose(body -> door.signAsync(JdkRequest.draft(request, body), calls, answer))
                .thenCompose(signed -> {
                    try {
                        HttpRequest outgoing = JdkRequest.of(signed, request, left(timeout, start));
                        return answer.follow(sender.sendAsync(outgoing, reporting(handler, signed), pushes));
                    } catch (IOException e) {
                        return CompletableFuture.failedFuture(e);
                    }
                })
                .whenComplete((response, error) -> answer.end(response, error == null ? null : told(error)));
        return answer;
    }

    private static Throwable told(Throwable error) {
        Throwable cause = Relay.unwrapped(error);
        if (cause instanceof PrivysealException failure) {
            return new NotSentException(failure);
        }
        return JdkRequest.plain(cause);
    }

    private <T> BodyHandler<T> reporting(BodyHandler<T> handler, SignResponse signed) {
        VenueReport report = new VenueReport(door, signed);
        return info -> {
            int status = info.statusCode();
            String date = info.headers().firstValue("date").orElse("");
            return report.isDue(status)
                    ? new ReportingSubscriber<>(handler.apply(info), body -> report.send(status, date, body))
                    : handler.apply(info);
        };
    }

    private byte[] body(HttpRequest request) throws IOException, InterruptedException {
        Duration patience = request.timeout().orElse(door.client().settings().timeout());
        try {
            return request.bodyPublisher().isEmpty()
                    ? new byte[0]
                    : BodyReader.read(request.bodyPublisher().get(), door.maxBodyBytes())
                            .get(patience.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            throw new HttpTimeoutException("the request's body was not there in time, and nothing was sent");
        } catch (ExecutionException e) {
            throw e.getCause() instanceof NotSentException refusal ? refusal : new IOException(e.getCause());
        }
    }

    private CompletableFuture<byte[]> bodyAsync(HttpRequest request) {
        return request.bodyPublisher()
                .map(publisher -> CompletableFuture.supplyAsync(
                                () -> BodyReader.read(publisher, door.maxBodyBytes()),
                                sender.executor().orElseGet(ForkJoinPool::commonPool))
                        .thenCompose(body -> body))
                .orElseGet(() -> CompletableFuture.completedFuture(new byte[0]));
    }

    private static Duration left(Duration timeout, long start) throws HttpTimeoutException {
        if (timeout == null) {
            return null;
        }
        Duration left = timeout.minusNanos(System.nanoTime() - start);
        if (left.isNegative() || left.isZero()) {
            throw new HttpTimeoutException("the time was over when the request was signed, and nothing was sent");
        }
        return left;
    }

    @Override
    public Optional<CookieHandler> cookieHandler() {
        return sender.cookieHandler();
    }

    @Override
    public Optional<Duration> connectTimeout() {
        return sender.connectTimeout();
    }

    @Override
    public Redirect followRedirects() {
        return Redirect.NEVER;
    }

    @Override
    public Optional<ProxySelector> proxy() {
        return sender.proxy();
    }

    @Override
    public SSLContext sslContext() {
        return sender.sslContext();
    }

    @Override
    public SSLParameters sslParameters() {
        return sender.sslParameters();
    }

    @Override
    public Optional<Authenticator> authenticator() {
        return Optional.empty();
    }

    @Override
    public Version version() {
        return sender.version();
    }

    @Override
    public Optional<Executor> executor() {
        return sender.executor();
    }

    @Override
    public String toString() {
        return "SigningHttpClient[" + door + "]";
    }
}
