package io.privyseal;

import io.privyseal.v1.SignResponse;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/** A java.net.http request, before it is signed and after. */
final class JdkRequest {
    private static final String LIBRARY = "java.net.http";
    /** Whether the JDK never sends twice. It reads this once, and what is set later does not count for it. */
    private static final boolean SENDS_ONCE = Integer.getInteger("jdk.httpclient.redirects.retrylimit", 0) == 1;

    private JdkRequest() {}

    static Door.Draft draft(HttpRequest request, byte[] body) {
        return new Door.Draft(
                request.method(),
                pathAndQuery(request.uri()),
                request.headers().firstValue("Content-Type").orElse(""),
                body);
    }

    /** Returns what to send, in the time that is left, if that is set. */
    static HttpRequest of(SignResponse signed, HttpRequest own, Duration left) throws NotSentException {
        if (!signed.hasSignedHttpRequest()) {
            throw new NotSentException("the server's answer holds no signed request; check that it is up to date");
        }
        Outgoing outgoing = Outgoing.of(signed.getSignedHttpRequest(), headers(own));
        URI uri = uri(outgoing.url());
        HttpRequest.Builder builder = HttpRequest.newBuilder(uri)
                .method(outgoing.method(), body(outgoing.body()))
                .expectContinue(own.expectContinue());
        for (Map.Entry<String, String> header : outgoing.headers()) {
            try {
                builder.header(header.getKey(), header.getValue());
            } catch (IllegalArgumentException e) {
                throw new NotSentException(LIBRARY + " does not send the header " + header.getKey()
                        + "; take it out of the request, or send by another library");
            }
        }
        own.version().ifPresent(builder::version);
        if (own.version().isEmpty() && uri.getScheme().equals("http")) {
            // Else the JDK asks for an upgrade to HTTP/2, with headers that nobody set.
            builder.version(HttpClient.Version.HTTP_1_1);
        }
        if (left != null) {
            builder.timeout(Door.capped(left));
        }
        return builder.build();
    }

    /** Returns the path and query that the JDK sends: never empty, no lone question mark, and ASCII. */
    static String pathAndQuery(URI uri) {
        URI ascii = URI.create(uri.toASCIIString());
        String path = ascii.getRawPath();
        String query = ascii.getRawQuery();
        return (path == null || path.isEmpty() ? "/" : path) + (query == null || query.isEmpty() ? "" : "?" + query);
    }

    /** Returns the URL, if the JDK sends it as it is. */
    static URI uri(String signed) throws NotSentException {
        try {
            URI uri = URI.create(signed);
            String sent = uri.getScheme() + "://" + uri.getRawAuthority() + pathAndQuery(uri);
            if (uri.getHost() != null && uri.getRawUserInfo() == null && sent.equals(signed)) {
                return uri;
            }
        } catch (IllegalArgumentException e) {
            // Not chained: its text holds the signed query.
        }
        throw Outgoing.changed(LIBRARY, signed);
    }

    /** Returns the failure, or what stopped the JDK from sending again where that is in it. */
    static Throwable plain(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (cause instanceof SentOnceException) {
                return new SentOnceException();
            }
        }
        return error;
    }

    private static BodyPublisher body(byte[] body) {
        // With an empty publisher a GET has a Content-Length of 0; where the JDK never sends twice, none is needed.
        return body.length == 0 && SENDS_ONCE ? BodyPublishers.noBody() : new OncePublisher(body);
    }

    private static List<Map.Entry<String, String>> headers(HttpRequest request) {
        return request.headers().map().entrySet().stream()
                .flatMap(header -> header.getValue().stream().map(value -> Map.entry(header.getKey(), value)))
                .toList();
    }
}
