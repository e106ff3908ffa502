package io.privyseal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.privyseal.v1.Header;
import io.privyseal.v1.ReportAnswerRequest;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import okhttp3.Call;
import okhttp3.Cookie;
import okhttp3.CookieJar;
import okhttp3.HttpUrl;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;
import okio.BufferedSink;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class OkHttpDoorTest {
    private LoopbackServer server;
    private RawVenue venue;
    private PrivysealClient client;
    private OkHttpClient http;

    @BeforeEach
    void open() throws IOException {
        server = new LoopbackServer();
        venue = new RawVenue();
        server.venue = venue.url();
        client = server.client();
        http = OkHttpDoor.over(new OkHttpClient(), client, "keys/a");
    }

    @AfterEach
    void close() throws Exception {
        client.close();
        venue.close();
        server.close();
    }

    @Test
    void sendsWhatWasSigned() throws IOException {
        Request post = request()
                .header("x-signature", "forged")
                .header("X-Strategy", "mm")
                .post(RequestBody.create(new byte[] {'{', (byte) 0xff}))
                .build();
        for (int i = 0; i < 2; i++) {
            assertEquals("fine", send(post));
            String wire = venue.requests.get(i);
            assertTrue(wire.startsWith("POST /p%2Fq?x=%7B+%20&y= HTTP/1.1\r\n"), wire);
            assertTrue(wire.contains("X-Signature: s" + (i + 1) + "\r\n"), wire);
            assertFalse(wire.contains("forged") || wire.contains("Content-Type"), wire);
            assertTrue(wire.endsWith("\r\n\r\n{\u00ff"), wire);
        }
    }

    @Test
    void neverSendsTheSameBytesTwice() throws IOException {
        Request get = request().build();
        send(get);
        venue.answers.add("");
        assertThrows(IOException.class, () -> send(get));
        venue.answers.add(RawVenue.answer("503 Later", "Retry-After: 0\r\n", "busy"));
        try (Response answer = http.newCall(get).execute()) {
            assertEquals(503, answer.code());
            assertEquals("0", answer.header("Retry-After"));
            assertEquals("busy", answer.body().string());
        }
        venue.answers.add(RawVenue.answer("408 Late", "", ""));
        send(get);
        venue.answers.add(RawVenue.answer("302 Found", "Location: /elsewhere\r\n", ""));
        send(get);
        assertEquals(5, venue.requests.size());
        assertEquals(5, venue.requests.stream().distinct().count());
    }

    @Test
    void refusesBodiesThatCannotBeSigned() {
        OkHttpClient small =
                OkHttpDoor.over(new OkHttpClient(), client.door("keys/a").withMaxBodyBytes(3));
        Request known = request().post(RequestBody.create(new byte[4])).build();
        assertThrows(NotSentException.class, () -> small.newCall(known).execute());
        Request unknown = request().post(new Endless(false)).build();
        assertThrows(NotSentException.class, () -> small.newCall(unknown).execute());
        Request duplex = request().post(new Endless(true)).build();
        assertThrows(NotSentException.class, () -> http.newCall(duplex).execute());
        assertTrue(server.requests.isEmpty());
    }

    @Test
    void sendsTheBodysTypeWhereNoneIsSigned() throws IOException {
        send(request()
                .post(RequestBody.create("{}", MediaType.get("application/json")))
                .build());
        assertTrue(venue.requests.get(0).contains("Content-Type: application/json"), venue.requests.get(0));
    }

    @Test
    void keepsSignedCookiesAndNoOthers() throws IOException {
        server.headers.add(
                Header.newBuilder().setName("Cookie").setValue("signed=1").build());
        CookieJar jar = new CookieJar() {
            @Override
            public void saveFromResponse(HttpUrl url, List<Cookie> cookies) {}

            @Override
            public List<Cookie> loadForRequest(HttpUrl url) {
                return List.of(Cookie.parse(url, "jar=1"));
            }
        };
        OkHttpClient remembers = new OkHttpClient.Builder().cookieJar(jar).build();
        OkHttpDoor.over(remembers, client, "keys/a")
                .newCall(request().build())
                .execute()
                .close();
        assertTrue(venue.requests.get(0).contains("Cookie: signed=1\r\n"), venue.requests.get(0));
    }

    @Test
    void refusesWhatAnInterceptorChanged() {
        OkHttpClient meddles = new OkHttpClient.Builder()
                .addNetworkInterceptor(chain -> chain.proceed(chain.request()
                        .newBuilder()
                        .header("X-Signature", "other")
                        .build()))
                .build();
        OkHttpClient changed = OkHttpDoor.over(meddles, client, "keys/a");
        assertThrows(
                NotSentException.class, () -> changed.newCall(request().build()).execute());
        assertTrue(venue.requests.isEmpty());
    }

    @Test
    void refusesBodiesThatAreCutShort() {
        Request cut = request()
                .post(new RequestBody() {
                    @Override
                    public MediaType contentType() {
                        return null;
                    }

                    @Override
                    public long contentLength() {
                        return 10;
                    }

                    @Override
                    public void writeTo(BufferedSink sink) throws IOException {
                        sink.writeUtf8("abc");
                    }
                })
                .build();
        assertThrows(NotSentException.class, () -> http.newCall(cut).execute());
        assertTrue(server.requests.isEmpty());
    }

    @Test
    void reportsErrorsAndGivesThemWhole() throws IOException {
        String body = "x".repeat(200_000);
        venue.answers.add(RawVenue.answer("400 Bad Request", "", body));
        assertEquals(body, send(request().build()));
        ReportAnswerRequest report = assertInstanceOf(ReportAnswerRequest.class, server.requests.get(1));
        assertEquals(65_536, report.getBody().size());
    }

    @Test
    void cancellingEndsTheSign() throws Exception {
        server.hangs = true;
        Call call = http.newCall(request().build());
        CompletableFuture.delayedExecutor(200, TimeUnit.MILLISECONDS).execute(call::cancel);
        assertThrows(IOException.class, call::execute);
        assertTrue(server.cancelled.await(5, TimeUnit.SECONDS));
    }

    private String send(Request request) throws IOException {
        try (Response answer = http.newCall(request).execute()) {
            return answer.body().string();
        }
    }

    private static Request.Builder request() {
        return new Request.Builder().url("https://elsewhere.example/p%2Fq?x=%7B+%20&y=");
    }

    private static final class Endless extends RequestBody {
        private final boolean duplex;

        Endless(boolean duplex) {
            this.duplex = duplex;
        }

        @Override
        public MediaType contentType() {
            return null;
        }

        @Override
        public boolean isDuplex() {
            return duplex;
        }

        @Override
        public void writeTo(BufferedSink sink) throws IOException {
            while (true) {
                sink.writeUtf8("endless");
            }
        }
    }
}
