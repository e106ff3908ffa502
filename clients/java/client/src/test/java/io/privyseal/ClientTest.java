package io.privyseal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.rpc.ErrorInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.privyseal.v1.SignRequest;
import io.privyseal.v1.SignResponse;
import java.io.IOException;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class ClientTest {
    private static final SignRequest REQUEST =
            SignRequest.newBuilder().setKey("keys/a").setRequestId("id").build();

    @Test
    void triesAgainWithTheSameBytes() throws Exception {
        try (LoopbackServer server = new LoopbackServer();
                PrivysealClient client = server.client()) {
            server.failNext(Status.UNAVAILABLE, "STATE_UNAVAILABLE");
            server.failNext(Status.ABORTED, "");
            client.sign(REQUEST);
            server.failNext(Status.UNAVAILABLE, "STATE_UNAVAILABLE");
            client.signAsync(REQUEST).get();
            assertEquals(5, server.requests.size());
            assertEquals(1, server.requests.stream().distinct().count());
            Metadata.Key<String> agent = Metadata.Key.of("user-agent", Metadata.ASCII_STRING_MARSHALLER);
            assertTrue(server.metadata.get(0).get(agent).startsWith("privyseal-java/0.1.0"));
        }
    }

    @Test
    void aServerThatCancelsIsUnavailable() throws Exception {
        try (LoopbackServer server = new LoopbackServer();
                PrivysealClient client = server.client()) {
            server.failNext(Status.CANCELLED, "");
            server.failNext(Status.CANCELLED, "");
            SignRequest once = SignRequest.getDefaultInstance();
            PrivysealException failure = assertThrows(PrivysealException.class, () -> client.sign(once));
            assertEquals(Status.Code.UNAVAILABLE, failure.code());
            client.signAsync(REQUEST).get();
            assertEquals(3, server.requests.size());
        }
    }

    @Test
    void failuresOfFuturesAreTyped() throws Exception {
        try (LoopbackServer server = new LoopbackServer();
                PrivysealClient client = server.client()) {
            server.failNext(Status.PERMISSION_DENIED.withDescription("no rule"), "POLICY_DENIED");
            CompletableFuture<SignResponse> answer = client.signAsync(REQUEST);
            ExecutionException error = assertThrows(ExecutionException.class, answer::get);
            assertEquals(
                    "POLICY_DENIED",
                    assertInstanceOf(PrivysealException.class, error.getCause()).reason());
        }
    }

    @Test
    void takesManyDetailsAndLosesNoOtherCall() throws Exception {
        try (LoopbackServer server = new LoopbackServer();
                PrivysealClient client = server.client()) {
            server.hangs = true;
            CompletableFuture<SignResponse> other = client.signAsync(REQUEST);
            while (server.requests.isEmpty()) {
                Thread.sleep(5);
            }
            server.hangs = false;
            ErrorInfo more = ErrorInfo.newBuilder()
                    .putMetadata("venueMessage", "m".repeat(20_000))
                    .build();
            server.failNext(Status.FAILED_PRECONDITION, "VENUE_REFUSED", more);
            PrivysealException failure = assertThrows(PrivysealException.class, () -> client.sign(REQUEST));
            assertEquals("VENUE_REFUSED", failure.reason());
            assertFalse(other.isDone());
            other.cancel(true);
        }
    }

    @Test
    void refusesNullRequests() throws Exception {
        try (LoopbackServer server = new LoopbackServer();
                PrivysealClient client = server.client()) {
            assertThrows(NullPointerException.class, () -> client.sign(null));
            assertThrows(NullPointerException.class, () -> client.signAsync(null));
            assertTrue(server.requests.isEmpty());
        }
    }

    @Test
    void interruptingEndsTheCall() throws Exception {
        try (LoopbackServer server = new LoopbackServer();
                PrivysealClient client = server.client()) {
            server.hangs = true;
            PrivysealException failure = interrupted(() -> client.sign(REQUEST));
            assertEquals(Status.Code.CANCELLED, failure.code());
            assertTrue(server.cancelled.await(5, TimeUnit.SECONDS));
        }
    }

    @Test
    void interruptingEndsTheWait() throws Exception {
        try (PrivysealClient client = PrivysealClient.builder()
                .target("127.0.0.1:" + freePort())
                .plaintext()
                .maxAttempts(100)
                .build()) {
            assertEquals(
                    Status.Code.CANCELLED,
                    interrupted(() -> client.sign(REQUEST)).code());
        }
    }

    @Test
    void cancellingTheFutureEndsTheCall() throws Exception {
        try (LoopbackServer server = new LoopbackServer();
                PrivysealClient client = server.client()) {
            server.hangs = true;
            CompletableFuture<SignResponse> answer = client.signAsync(REQUEST);
            while (server.requests.isEmpty()) {
                Thread.sleep(5);
            }
            answer.cancel(true);
            assertTrue(server.cancelled.await(5, TimeUnit.SECONDS));
            assertThrows(CancellationException.class, answer::get);
        }
    }

    @Test
    void futuresCancelledAtOnceLeaveNothingBehind() throws Exception {
        try (LoopbackServer server = new LoopbackServer();
                PrivysealClient client = server.client()) {
            for (int i = 0; i < 200; i++) {
                client.signAsync(REQUEST).cancel(true);
            }
            client.sign(REQUEST);
        }
    }

    @Test
    void closingEndsCalls() throws Exception {
        try (LoopbackServer server = new LoopbackServer()) {
            PrivysealClient client = server.client();
            server.hangs = true;
            CompletableFuture<SignResponse> answer = client.signAsync(REQUEST);
            client.close();
            ExecutionException error = assertThrows(ExecutionException.class, answer::get);
            assertEquals(Status.Code.CANCELLED, ((PrivysealException) error.getCause()).code());
            assertEquals(
                    Status.Code.CANCELLED,
                    assertThrows(PrivysealException.class, () -> client.sign(REQUEST))
                            .code());
        }
    }

    @Test
    void findsAServerThatComesLate() throws Exception {
        int port = freePort();
        try (PrivysealClient client = PrivysealClient.builder()
                .target("127.0.0.1:" + port)
                .plaintext()
                .maxAttempts(1)
                .build()) {
            long start = System.nanoTime();
            while (Duration.ofNanos(System.nanoTime() - start).toMillis() < 4_500) {
                assertThrows(PrivysealException.class, () -> client.sign(REQUEST));
                Thread.sleep(100);
            }
            try (LoopbackServer server = new LoopbackServer(port, null)) {
                long up = System.nanoTime();
                while (server.requests.isEmpty()) {
                    try {
                        client.sign(REQUEST);
                    } catch (PrivysealException e) {
                        Thread.sleep(20);
                    }
                }
                long late = Duration.ofNanos(System.nanoTime() - up).toMillis();
                assertTrue(late < 2_500, late + " ms");
            }
        }
    }

    @Test
    void passesOverATargetThatIsDown() throws Exception {
        try (LoopbackServer one = new LoopbackServer();
                LoopbackServer two = new LoopbackServer();
                PrivysealClient client = PrivysealClient.builder()
                        .target(one.target())
                        .target("127.0.0.1:" + freePort())
                        .target(two.target())
                        .plaintext()
                        .maxAttempts(1)
                        .build()) {
            while (one.requests.isEmpty() || two.requests.isEmpty()) {
                client.sign(REQUEST);
            }
            for (int i = 0; i < 20; i++) {
                client.sign(REQUEST);
            }
            assertTrue(one.requests.size() >= 10 && two.requests.size() >= 10);
        }
    }

    private static PrivysealException interrupted(Runnable call) throws InterruptedException {
        AtomicReference<PrivysealException> failure = new AtomicReference<>();
        AtomicReference<Boolean> flag = new AtomicReference<>();
        Thread thread = new Thread(() -> {
            failure.set(assertThrows(PrivysealException.class, call::run));
            flag.set(Thread.currentThread().isInterrupted());
        });
        thread.start();
        Thread.sleep(500);
        thread.interrupt();
        thread.join(5_000);
        assertEquals(true, flag.get());
        return failure.get();
    }

    static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }
}
