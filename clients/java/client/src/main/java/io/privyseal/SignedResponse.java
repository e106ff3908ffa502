package io.privyseal;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Optional;
import javax.net.ssl.SSLSession;

/**
 * The venue's answer, with the caller's own request: what was signed neither gets into a log by it, nor is signed again by
 * who sends an answer's request once more.
 */
record SignedResponse<T>(HttpResponse<T> venue, HttpRequest request) implements HttpResponse<T> {
    @Override
    public int statusCode() {
        return venue.statusCode();
    }

    @Override
    public Optional<HttpResponse<T>> previousResponse() {
        return Optional.empty();
    }

    @Override
    public HttpHeaders headers() {
        return venue.headers();
    }

    @Override
    public T body() {
        return venue.body();
    }

    @Override
    public Optional<SSLSession> sslSession() {
        return venue.sslSession();
    }

    @Override
    public URI uri() {
        return venue.uri();
    }

    @Override
    public HttpClient.Version version() {
        return venue.version();
    }

    @Override
    public String toString() {
        return "(" + request.method() + " " + request.uri() + ") " + statusCode();
    }
}
