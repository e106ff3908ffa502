package io.privyseal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.privyseal.v1.LoginRequest;
import io.privyseal.v1.ReportAnswerRequest;
import io.privyseal.v1.SignRequest;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.net.Authenticator;
import java.net.CookieManager;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class DoorTest {
    private static final URI ELSEWHERE = URI.create("https://elsewhere.example/p%2Fq?x=%7B+%20&y=");

    private LoopbackServer server;
    private RawVenue venue;
    private PrivysealClient client;
    private HttpClient http;

    @BeforeEach
    void open() throws IOException {
        server = new LoopbackServer();
        venue = new RawVenue();
        server.venue = venue.url();
        client = server.client();
        http = client.httpClient("keys/a", HttpClient.newHttpClient());
    }

    @AfterEach
    void close() throws Exception {
        client.close();
        venue.close();
        server.close();
    }

    @Test
    void sendsWhatWasSigned() throws Exception {
        HttpRequest request = HttpRequest.newBuilder(ELSEWHERE)
                .header("X-Signature", "forged")
                .header("X-Strategy", "mm")
                .POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(new byte[] {'{', (byte) 0xff})))
                .build();
        assertEquals("fine", http.send(request, BodyHandlers.ofString()).body());
        assertEquals(
                "fine", http.sendAsync(request, BodyHandlers.ofString()).get().body());
        for (int i = 0; i < 2; i++) {
            String wire = venue.requests.get(i);
            assertTrue(wire.startsWith("POST /p%2Fq?x=%7B+%20&y= HTTP/1.1\r\n"), wire);
            assertTrue(wire.contains("X-Signature: s" + (i + 1) + "\r\n"), wire);
            assertTrue(wire.contains("X-Strategy: mm\r\n"), wire);
            assertFalse(wire.contains("forged") || wire.toLowerCase().contains("upgrade"), wire);
            assertTrue(wire.endsWith("\r\n\r\n{\u00ff"), wire);
        }
        assertEquals(2, server.requests.stream().distinct().count());
    }

    @Test
    void refusesClientsThatWouldSendTwice() {
        HttpClient follows = HttpClient.newBuilder()
                .followRedirects(HttpClient.Redirect.NORMAL)
                .build();
        assertThrows(ConfigurationException.class, () -> client.httpClient("keys/a", follows));
        HttpClient answers =
                HttpClient.newBuilder().authenticator(new Authenticator() {}).build();
        assertThrows(ConfigurationException.class, () -> client.httpClient("keys/a", answers));
        HttpClient remembers =
                HttpClient.newBuilder().cookieHandler(new CookieManager()).build();
        assertThrows(ConfigurationException.class, () -> client.httpClient("keys/a", remembers));
    }

    @Test
    void refusesLongBodiesBeforeTheyAreSigned() {
        HttpClient small = client.door("keys/a").withMaxBodyBytes(3).over(HttpClient.newHttpClient());
        HttpRequest known = request().POST(BodyPublishers.ofString("abcd")).build();
        assertThrows(NotSentException.class, () -> small.send(known, BodyHandlers.discarding()));
        HttpRequest unknown = request()
                .POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(new byte[4])))
                .build();
        assertThrows(NotSentException.class, () -> small.send(unknown, BodyHandlers.discarding()));
        assertTrue(server.requests.isEmpty());
    }

    @Test
    void neverSendsTheSameBytesTwice() throws Exception {
        HttpRequest get = request().build();
        http.send(get, BodyHandlers.ofString());
        venue.answers.add("");
        assertThrows(SentOnceException.class, () -> http.send(get, BodyHandlers.ofString()));
        Thread.sleep(200);
        assertEquals(0, venue.connections.get());
        http.send(get, BodyHandlers.ofString());
        venue.answers.add("");
        ExecutionException error = assertThrows(
                ExecutionException.class,
                () -> http.sendAsync(get, BodyHandlers.ofString()).get());
        assertInstanceOf(SentOnceException.class, error.getCause());
        assertEquals(4, venue.requests.size());
        assertEquals(4, venue.requests.stream().distinct().count());
    }

    @Test
    void logsInOnceWhereASessionIsMissing() throws Exception {
        server.failNext(Status.FAILED_PRECONDITION, "SESSION_MISSING");
        http.send(request().build(), BodyHandlers.discarding());
        assertInstanceOf(LoginRequest.class, server.requests.get(1));
        assertEquals(3, server.requests.size());
        server.failNext(Status.FAILED_PRECONDITION, "SESSION_MISSING");
        http.sendAsync(request().build(), BodyHandlers.discarding()).get();
        assertEquals(6, server.requests.size());
        server.failNext(Status.FAILED_PRECONDITION, "SESSION_MISSING");
        HttpClient without = client.door("keys/a").withoutLogin().over(HttpClient.newHttpClient());
        NotSentException refusal = assertThrows(
                NotSentException.class, () -> without.send(request().build(), BodyHandlers.discarding()));
        assertEquals("SESSION_MISSING", refusal.failure().orElseThrow().reason());
        assertEquals(7, server.requests.size());
    }

    @Test
    void reportsErrorsAndGivesThemWhole() throws Exception {
        String body = "x".repeat(200_000);
        venue.answers.add(RawVenue.answer("400 Bad Request", "Date: today\r\n", body));
        HttpResponse<java.io.InputStream> answer = http.send(request().build(), BodyHandlers.ofInputStream());
        ReportAnswerRequest report = (ReportAnswerRequest) server.requests.get(1);
        assertEquals(400, report.getHttpStatus());
        assertEquals("today", report.getDate());
        assertEquals("7", report.getNonce());
        assertEquals(65_536, report.getBody().size());
        assertEquals(body, new String(answer.body().readAllBytes()));
        venue.answers.add(RawVenue.answer("500 Oh", "", ""));
        assertEquals("", http.send(request().build(), BodyHandlers.ofString()).body());
        venue.answers.add(RawVenue.answer("302 Found", "Location: /elsewhere\r\n", ""));
        assertEquals(302, http.send(request().build(), BodyHandlers.ofString()).statusCode());
        assertEquals(5, server.requests.size());
    }

    @Test
    void givesTheAnswerWhenTheReportHangs() throws Exception {
        venue.answers.add(RawVenue.answer("503 Later", "", "sorry"));
        HttpRequest request = request().build();
        CompletableFuture<HttpResponse<String>> answer = http.sendAsync(request, BodyHandlers.ofString());
        while (server.requests.isEmpty()) {
            Thread.sleep(1);
        }
        server.hangs = true;
        assertEquals("sorry", answer.get(4, TimeUnit.SECONDS).body());
    }

    @Test
    void cancellingEndsTheSign() throws Exception {
        server.hangs = true;
        CompletableFuture<HttpResponse<Void>> answer = http.sendAsync(request().build(), BodyHandlers.discarding());
        while (server.requests.isEmpty()) {
            Thread.sleep(5);
        }
        answer.cancel(true);
        assertTrue(server.cancelled.await(5, TimeUnit.SECONDS));
        assertTrue(venue.requests.isEmpty());
    }

    @Test
    void interruptingEndsTheSign() throws Exception {
        server.hangs = true;
        Thread thread = Thread.currentThread();
        CompletableFuture.delayedExecutor(300, TimeUnit.MILLISECONDS).execute(thread::interrupt);
        assertThrows(InterruptedException.class, () -> http.send(request().build(), BodyHandlers.discarding()));
    }

    @Test
    void theRequestsTimeoutCoversTheSign() {
        server.hangs = true;
        HttpRequest hasty = request().timeout(Duration.ofMillis(200)).build();
        NotSentException late = assertThrows(NotSentException.class, () -> http.send(hasty, BodyHandlers.discarding()));
        assertEquals(Status.Code.DEADLINE_EXCEEDED, late.failure().orElseThrow().code());
        HttpRequest endless = request()
                .timeout(Duration.ofMillis(100))
                .POST(BodyPublishers.fromPublisher(subscriber -> {}))
                .build();
        assertThrows(HttpTimeoutException.class, () -> http.send(endless, BodyHandlers.discarding()));
    }

    @Test
    void theRequestsTimeoutCoversAStream() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        HttpRequest stuck = request()
                .timeout(Duration.ofMillis(200))
                .POST(BodyPublishers.ofInputStream(() -> new Stuck(never)))
                .build();
        assertThrows(HttpTimeoutException.class, () -> http.send(stuck, BodyHandlers.discarding()));
        ExecutionException late = assertThrows(
                ExecutionException.class,
                () -> http.sendAsync(stuck, BodyHandlers.discarding()).get());
        assertInstanceOf(HttpTimeoutException.class, late.getCause());
        assertTrue(server.requests.isEmpty());
        never.countDown();
    }

    @Test
    void streamsBlockNoSharedThreads() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        for (int i = 0; i < 20; i++) {
            http.sendAsync(
                    request()
                            .POST(BodyPublishers.ofInputStream(() -> new Stuck(never)))
                            .build(),
                    BodyHandlers.discarding());
        }
        CompletableFuture<Void> common = new CompletableFuture<>();
        ForkJoinPool.commonPool().execute(() -> common.complete(null));
        common.get(5, TimeUnit.SECONDS);
        never.countDown();
    }

    @Test
    void aForeverOfTimeIsFine() throws Exception {
        HttpRequest patient =
                request().timeout(ChronoUnit.FOREVER.getDuration()).build();
        assertEquals("fine", http.send(patient, BodyHandlers.ofString()).body());
    }

    @Test
    void refusesBodiesThatAreCutShort() {
        HttpRequest cut = request()
                .POST(BodyPublishers.fromPublisher(BodyPublishers.ofString("abc"), 10))
                .build();
        assertThrows(NotSentException.class, () -> http.send(cut, BodyHandlers.discarding()));
        assertTrue(server.requests.isEmpty());
    }

    @Test
    void refusesNulls() {
        assertThrows(NullPointerException.class, () -> client.door(null));
        assertThrows(NullPointerException.class, () -> client.door("keys/a").withReport(null));
    }

    @Test
    void usesOneRequestIdForRetriesAndNoneWithoutThem() throws Exception {
        http.send(request().build(), BodyHandlers.discarding());
        assertEquals(36, ((SignRequest) server.requests.get(0)).getRequestId().length());
        try (PrivysealClient once = PrivysealClient.builder()
                .target(server.target())
                .plaintext()
                .maxAttempts(1)
                .build()) {
            once.httpClient("keys/a", HttpClient.newHttpClient()).send(request().build(), BodyHandlers.discarding());
        }
        assertEquals("", ((SignRequest) server.requests.get(1)).getRequestId());
    }

    private static HttpRequest.Builder request() {
        return HttpRequest.newBuilder(ELSEWHERE);
    }

    private static final class Stuck extends InputStream {
        private final CountDownLatch until;

        Stuck(CountDownLatch until) {
            this.until = until;
        }

        @Override
        public int read() throws IOException {
            try {
                until.await();
            } catch (InterruptedException e) {
                throw new InterruptedIOException();
            }
            return -1;
        }
    }
}
