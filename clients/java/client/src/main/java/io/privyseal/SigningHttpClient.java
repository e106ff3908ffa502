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
        if (sender.cookieHandler().isPresent()) {
            throw new ConfigurationException(
                    "httpClient", "has a cookie handler, and would change signed headers; build it without");
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
            return new SignedResponse<>(sender.send(outgoing, reporting(handler, signed)), request);
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
        answer.follow(patient(request))
                .thenCompose(body -> door.signAsync(JdkRequest.draft(request, body), calls, answer))
                .thenCompose(signed -> {
                    try {
                        HttpRequest outgoing = JdkRequest.of(signed, request, left(timeout, start));
                        return answer.isDone()
                                ? new CompletableFuture<>()
                                : answer.follow(sender.sendAsync(outgoing, reporting(handler, signed), pushes));
                    } catch (IOException e) {
                        return CompletableFuture.failedFuture(e);
                    }
                })
                .whenComplete((response, error) -> answer.end(
                        error == null ? new SignedResponse<>(response, request) : null,
                        error == null ? null : told(error)));
        return answer;
    }

    private static Throwable told(Throwable error) {
        Throwable cause = Relay.unwrapped(error);
        if (cause instanceof PrivysealException failure) {
            return new NotSentException(failure);
        }
        return cause instanceof TimeoutException ? bodyTimeout() : JdkRequest.plain(cause);
    }

    private <T> BodyHandler<T> reporting(BodyHandler<T> handler, SignResponse signed) {
        return info -> {
            String date = info.headers().firstValue("date").orElse("");
            VenueReport report = new VenueReport(door, signed, info.statusCode(), date);
            return report.isDue() ? new ReportingSubscriber<>(handler.apply(info), report::send) : handler.apply(info);
        };
    }

    private byte[] body(HttpRequest request) throws IOException, InterruptedException {
        CompletableFuture<byte[]> body = patient(request);
        try {
            return body.get();
        } catch (InterruptedException e) {
            body.cancel(true);
            throw e;
        } catch (ExecutionException e) {
            if (e.getCause() instanceof TimeoutException) {
                throw bodyTimeout();
            }
            throw e.getCause() instanceof NotSentException refusal ? refusal : new IOException(e.getCause());
        }
    }

    /** Returns the body, which fails with {@link TimeoutException} where it is not there in the time that there is. */
    private CompletableFuture<byte[]> patient(HttpRequest request) {
        Duration patience = request.timeout().orElse(door.client().settings().timeout());
        return request.bodyPublisher()
                .map(publisher -> BodyReader.read(publisher, door.maxBodyBytes())
                        .orTimeout(Door.capped(patience).toNanos(), TimeUnit.NANOSECONDS))
                .orElseGet(() -> CompletableFuture.completedFuture(new byte[0]));
    }

    private static HttpTimeoutException bodyTimeout() {
        return new HttpTimeoutException("the request's body was not there in time, and nothing was sent");
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
