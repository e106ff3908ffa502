package io.privyseal;

import com.google.protobuf.ByteString;
import io.grpc.Deadline;
import io.privyseal.v1.SignResponse;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import okhttp3.Headers;
import okhttp3.HttpUrl;
import okhttp3.Interceptor;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;
import okhttp3.ResponseBody;
import okio.Buffer;
import okio.BufferedSink;
import okio.ForwardingSink;
import okio.Okio;

/** Has a request of OkHttp's signed, sends what was signed, and reports the answer. */
final class SigningInterceptor implements Interceptor {
    private static final long CANCEL_CHECK_MS = 20;
    private static final String CONTENT_TYPE = "Content-Type";

    private final Door door;

    SigningInterceptor(Door door) {
        this.door = door;
    }

    @Override
    public Response intercept(Chain chain) throws IOException {
        Request own = chain.request();
        byte[] body = body(own.body());
        String contentType = contentType(own);
        SignResponse signed = sign(chain, new Door.Draft(own.method(), path(own.url()), contentType, body));
        Response answer = SentOnceInterceptor.restored(chain.proceed(request(signed, own, contentType)));
        // The caller's own request: what was signed neither gets into a log by it, nor is signed again by who repeats
        // it.
        Response response = answer.newBuilder().request(own).build();
        VenueReport report = new VenueReport(door, signed, response.code(), response.header("Date", ""));
        return report.isDue() ? reported(report, response, chain.call()::cancel) : response;
    }

    private static Response reported(VenueReport report, Response response, Runnable cancel) {
        ResponseBody body = response.body();
        if (body.contentLength() == 0) {
            report.send(ByteString.EMPTY).join();
            return response;
        }
        AheadSource ahead = new AheadSource(body.source(), cancel);
        Workers.run(ahead);
        ByteString beginning = ahead.beginning(Deadline.after(VenueReport.READ_MILLIS, TimeUnit.MILLISECONDS));
        report.send(beginning).join();
        return response.newBuilder()
                .body(ResponseBody.create(Okio.buffer(ahead), body.contentType(), body.contentLength()))
                .build();
    }

    private SignResponse sign(Chain chain, Door.Draft draft) throws IOException {
        Relay<SignResponse> answer = new Relay<>();
        CompletableFuture<SignResponse> signed = door.signAsync(draft, door.within(null), answer);
        while (true) {
            try {
                return signed.get(CANCEL_CHECK_MS, TimeUnit.MILLISECONDS);
            } catch (TimeoutException e) {
                if (chain.call().isCanceled()) {
                    answer.cancel(true);
                    throw new IOException("Canceled");
                }
            } catch (InterruptedException e) {
                answer.cancel(true);
                Thread.currentThread().interrupt();
                throw new InterruptedIOException("interrupted while the request was signed");
            } catch (ExecutionException e) {
                throw Relay.unwrapped(e.getCause()) instanceof PrivysealException failure
                        ? new NotSentException(failure)
                        : new IOException(e.getCause());
            }
        }
    }

    private static Request request(SignResponse signed, Request own, String contentType) throws NotSentException {
        if (!signed.hasSignedHttpRequest()) {
            throw new NotSentException("the server's answer holds no signed request; check that it is up to date");
        }
        Outgoing outgoing = Outgoing.of(signed.getSignedHttpRequest(), headers(own.headers(), contentType));
        try {
            Request.Builder builder = own.newBuilder()
                    .url(url(outgoing.url()))
                    .headers(new Headers.Builder().build())
                    .method(outgoing.method(), once(outgoing))
                    .tag(SentOnceInterceptor.Ticket.class, null);
            outgoing.headers().forEach(header -> builder.addHeader(header.getKey(), header.getValue()));
            Request request = builder.build();
            return request.newBuilder()
                    .tag(SentOnceInterceptor.Ticket.class, new SentOnceInterceptor.Ticket(request))
                    .build();
        } catch (IllegalArgumentException e) {
            throw new NotSentException("OkHttp does not send this method with this body or these headers; a GET has no"
                    + " body, and a header's value is ASCII");
        }
    }

    static HttpUrl url(String signed) throws NotSentException {
        HttpUrl url = HttpUrl.parse(signed);
        int path = signed.indexOf('/', signed.indexOf("://") + 3);
        if (url == null || path < 0 || !path(url).equals(signed.substring(path))) {
            throw Outgoing.changed("OkHttp", signed);
        }
        return url;
    }

    private static String path(HttpUrl url) {
        String query = url.encodedQuery();
        return url.encodedPath() + (query == null ? "" : "?" + query);
    }

    private static String contentType(Request request) {
        if (request.body() != null && request.body().contentType() != null) {
            return request.body().contentType().toString();
        }
        return Objects.requireNonNullElse(request.header(CONTENT_TYPE), "");
    }

    private static List<Map.Entry<String, String>> headers(Headers headers, String contentType) {
        List<Map.Entry<String, String>> found = new ArrayList<>();
        headers.forEach(header -> {
            if (!header.getFirst().equalsIgnoreCase(CONTENT_TYPE)) {
                found.add(Map.entry(header.getFirst(), header.getSecond()));
            }
        });
        if (!contentType.isEmpty()) {
            found.add(Map.entry(CONTENT_TYPE, contentType));
        }
        return found;
    }

    private byte[] body(RequestBody body) throws IOException {
        if (body == null) {
            return new byte[0];
        }
        if (body.isDuplex()) {
            throw new NotSentException("a duplex body can't be read before it is sent; send it whole");
        }
        int limit = door.maxBodyBytes();
        if (body.contentLength() > limit) {
            throw BodyReader.tooLong(limit);
        }
        Buffer read = new Buffer();
        BufferedSink sink = Okio.buffer(new ForwardingSink(read) {
            @Override
            public void write(Buffer source, long byteCount) throws IOException {
                if (byteCount > limit - read.size()) {
                    throw BodyReader.tooLong(limit);
                }
                super.write(source, byteCount);
            }
        });
        body.writeTo(sink);
        sink.flush();
        if (body.contentLength() >= 0 && body.contentLength() != read.size()) {
            throw BodyReader.cutShort(body.contentLength(), read.size());
        }
        return read.readByteArray();
    }

    private static RequestBody once(Outgoing outgoing) {
        boolean needed = List.of("POST", "PUT", "PATCH").contains(outgoing.method());
        return outgoing.body().length == 0 && !needed ? null : new SignedBody(outgoing.body());
    }
}
