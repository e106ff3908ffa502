package io.privyseal;

import com.google.protobuf.ByteString;
import io.privyseal.v1.SignResponse;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
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
import okio.Buffer;
import okio.BufferedSink;
import okio.ForwardingSink;
import okio.Okio;

/** Has a request of OkHttp's signed, sends what was signed, and reports the answer. */
final class SigningInterceptor implements Interceptor {
    private static final long CANCEL_CHECK_MS = 20;

    private final Door door;

    SigningInterceptor(Door door) {
        this.door = door;
    }

    @Override
    public Response intercept(Chain chain) throws IOException {
        Request own = chain.request();
        byte[] body = body(own.body());
        SignResponse signed = sign(chain, new Door.Draft(own.method(), path(own.url()), contentType(own), body));
        Response response = SentOnceInterceptor.restored(chain.proceed(request(signed, own)));
        VenueReport report = new VenueReport(door, signed);
        if (report.isDue(response.code())) {
            ByteString first = peek(response);
            report.send(response.code(), response.header("Date", ""), first).join();
        }
        return response;
    }

    private static ByteString peek(Response response) {
        try {
            return ByteString.copyFrom(response.peekBody(VenueReport.MAX_BYTES).bytes());
        } catch (IOException e) {
            // The caller meets the same failure when it reads the body.
            return ByteString.EMPTY;
        }
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

    private static Request request(SignResponse signed, Request own) throws NotSentException {
        if (!signed.hasSignedHttpRequest()) {
            throw new NotSentException("the server's answer holds no signed request; check that it is up to date");
        }
        Outgoing outgoing = Outgoing.of(signed.getSignedHttpRequest(), headers(own.headers()));
        try {
            Request.Builder builder = own.newBuilder()
                    .url(url(outgoing.url()))
                    .headers(new Headers.Builder().build())
                    .method(outgoing.method(), once(outgoing))
                    .tag(SentOnceInterceptor.Ticket.class, new SentOnceInterceptor.Ticket());
            outgoing.headers().forEach(header -> builder.addHeader(header.getKey(), header.getValue()));
            return builder.build();
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
        return request.header("Content-Type") == null ? "" : request.header("Content-Type");
    }

    private static List<Map.Entry<String, String>> headers(Headers headers) {
        List<Map.Entry<String, String>> found = new ArrayList<>();
        headers.forEach(header -> found.add(Map.entry(header.getFirst(), header.getSecond())));
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
        return read.readByteArray();
    }

    private static RequestBody once(Outgoing outgoing) {
        boolean needed = List.of("POST", "PUT", "PATCH").contains(outgoing.method());
        return outgoing.body().length == 0 && !needed ? null : new SignedBody(outgoing.body());
    }
}
