package io.privyseal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.privyseal.v1.ReportAnswerRequest;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What the caller and Privyseal get of answers that come slowly, in odd sizes, or not to their end. */
@Timeout(20)
class VenueAnswersTest {
    private static final String URL = "https://elsewhere.example/p?x=1";
    private static final long NANOS = 1_000_000_000L;

    private final HttpRequest request = HttpRequest.newBuilder(URI.create(URL)).build();
    private final Request okRequest = new Request.Builder().url(URL).build();
    private LoopbackServer server;
    private RawVenue venue;
    private PrivysealClient client;
    private HttpClient http;
    private OkHttpClient okHttp;

    @BeforeEach
    void open() throws IOException {
        server = new LoopbackServer();
        venue = new RawVenue();
        server.venue = venue.url();
        client = server.client();
        http = client.httpClient("keys/a", HttpClient.newHttpClient());
        okHttp = OkHttpDoor.over(new OkHttpClient(), client, "keys/a");
    }

    @AfterEach
    void close() throws Exception {
        client.close();
        venue.close();
        server.close();
    }

    @Test
    void areReportedOnceAndGivenWholeInAllSizes() throws Exception {
        for (int size : new int[] {1, 65_535, 65_536, 65_537, 70_000, 81_920, 300_000}) {
            for (int i = 0; i < 5; i++) {
                venue.answers.add(RawVenue.answer("400 Bad Request", "", "x".repeat(size)));
                assertEquals(
                        size, http.send(request, BodyHandlers.ofByteArray()).body().length);
                assertEquals(Math.min(size, 65_536), reported());
                venue.answers.add(RawVenue.answer("400 Bad Request", "", "x".repeat(size)));
                assertEquals(size, sendOk().length());
                assertEquals(Math.min(size, 65_536), reported());
            }
        }
    }

    @Test
    void areGivenInTimeThoughTheyAreSlow() throws Exception {
        String slow = RawVenue.answer("400 Bad Request", "", "one, " + RawVenue.PAUSE + "two");
        venue.answers.add(slow);
        long start = System.nanoTime();
        HttpResponse<InputStream> answer = http.send(request, BodyHandlers.ofInputStream());
        assertTrue(System.nanoTime() - start < 2 * NANOS);
        assertEquals(5, reported());
        assertEquals("one, two", new String(answer.body().readAllBytes()));
        venue.answers.add(slow);
        start = System.nanoTime();
        try (Response ok = okHttp.newCall(okRequest).execute()) {
            assertTrue(System.nanoTime() - start < 2 * NANOS);
            assertEquals(5, reported());
            assertEquals("one, two", ok.body().string());
        }
    }

    @Test
    void canBeLeftHalfRead() throws Exception {
        venue.answers.add(RawVenue.answer("400 Bad Request", "", "one, " + RawVenue.PAUSE + "two"));
        okHttp.newCall(okRequest).execute().close();
        for (int i = 0; i < 3; i++) {
            venue.answers.add(RawVenue.answer("400 Bad Request", "", "x".repeat(300_000)));
            okHttp.newCall(okRequest).execute().close();
            venue.answers.add(RawVenue.answer("400 Bad Request", "", "x".repeat(300_000)));
            http.send(request, BodyHandlers.ofInputStream()).body().close();
        }
        assertEquals("fine", sendOk());
        assertEquals("fine", http.send(request, BodyHandlers.ofString()).body());
    }

    @Test
    void areReportedThoughTheyBreakOff() throws Exception {
        String broken = "HTTP/1.1 500 Oh\r\nContent-Length: 60\r\n\r\nabc" + RawVenue.CUT;
        venue.answers.add(broken);
        assertThrows(IOException.class, () -> http.send(request, BodyHandlers.ofString()));
        // The JDK tells its caller at once, and the report is on its way.
        while (server.requests.size() < 2) {
            Thread.sleep(1);
        }
        assertEquals(3, reported());
        venue.answers.add(broken);
        assertThrows(IOException.class, this::sendOk);
        assertEquals(3, reported());
    }

    @Test
    void failWithWhatTheCallersSubscriberThrows() {
        venue.answers.add(RawVenue.answer("400 Bad Request", "", "oops"));
        IOException error = assertThrows(
                IOException.class,
                () -> http.send(request, BodyHandlers.ofByteArrayConsumer(bytes -> {
                    throw new IllegalStateException("mine");
                })));
        assertTrue(error.toString().contains("mine"), error.toString());
    }

    @Test
    void surviveRetryAfterWithAnyNumber() throws IOException {
        venue.answers.add(RawVenue.answer("503 Later", "Retry-After: 99999999999\r\n", "busy"));
        try (Response answer = okHttp.newCall(okRequest).execute()) {
            assertEquals("99999999999", answer.header("Retry-After"));
        }
    }

    @Test
    void showNoSignatureAndHaveTheCallersRequest() throws Exception {
        server.venue = venue.url() + "/signed?signature=SECRET&of=";
        HttpResponse<String> answer = http.send(request, BodyHandlers.ofString());
        assertSame(request, answer.request());
        assertSame(
                request, http.sendAsync(request, BodyHandlers.ofString()).get().request());
        try (Response ok = okHttp.newCall(okRequest).execute()) {
            assertSame(okRequest, ok.request());
            for (Object shown : List.of(answer, answer.request(), ok, ok.request())) {
                String text = shown.toString();
                assertFalse(text.contains("SECRET") || text.contains("X-Signature"), text);
            }
        }
    }

    private String sendOk() throws IOException {
        try (Response answer = okHttp.newCall(okRequest).execute()) {
            return answer.body().string();
        }
    }

    /** The length of the one report that came. */
    private int reported() {
        List<ReportAnswerRequest> reports = server.requests.stream()
                .filter(ReportAnswerRequest.class::isInstance)
                .map(ReportAnswerRequest.class::cast)
                .toList();
        server.requests.clear();
        assertEquals(1, reports.size());
        return reports.get(0).getBody().size();
    }
}
