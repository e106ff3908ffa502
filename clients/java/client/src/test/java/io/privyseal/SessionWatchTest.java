package io.privyseal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.rpc.Code;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.privyseal.v1.Session;
import io.privyseal.v1.WatchSessionRequest;
import io.privyseal.v1.WatchSessionResponse;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class SessionWatchTest {
    @Test
    void opensAgainAndGivesNothingTwice() throws Exception {
        try (LoopbackServer server = new LoopbackServer();
                PrivysealClient client = server.client();
                SessionWatch watch = client.watchSession(WatchSessionRequest.getDefaultInstance())) {
            StreamObserver<WatchSessionResponse> stream = opened(server);
            stream.onNext(session("a"));
            SessionEvent event = watch.next();
            assertEquals("a", event.session().orElseThrow().getToken());
            assertFalse(event.toString().contains("token-"), event.toString());
            stream.onError(Status.UNAVAILABLE.asRuntimeException());
            stream = opened(server);
            stream.onNext(session("a"));
            stream.onCompleted();
            stream = opened(server);
            stream.onNext(session("a"));
            stream.onNext(session("b"));
            assertEquals("b", watch.next().session().orElseThrow().getToken());
            stream.onNext(WatchSessionResponse.newBuilder()
                    .setFailure(com.google.rpc.Status.newBuilder().setCode(Code.FAILED_PRECONDITION_VALUE))
                    .build());
            assertEquals(
                    Status.Code.FAILED_PRECONDITION,
                    watch.next().failure().orElseThrow().code());
            assertTrue(watch.next(Duration.ofMillis(50)).isEmpty());
            stream.onError(Status.UNAUTHENTICATED.asRuntimeException());
            for (int i = 0; i < 2; i++) {
                PrivysealException end = assertThrows(PrivysealException.class, watch::next);
                assertEquals(Status.Code.UNAUTHENTICATED, end.code());
            }
        }
    }

    @Test
    void holdsBackWhatNobodyTakes() throws Exception {
        try (LoopbackServer server = new LoopbackServer();
                PrivysealClient client = server.client();
                SessionWatch watch = client.watchSession(WatchSessionRequest.getDefaultInstance())) {
            var stream = (ServerCallStreamObserver<WatchSessionResponse>) opened(server);
            int sent = 0;
            for (int idle = 0; idle < 100; idle++) {
                for (; stream.isReady() && sent < 10_000; sent++) {
                    stream.onNext(session("x".repeat(1000) + sent));
                    idle = 0;
                }
                Thread.sleep(5);
            }
            assertTrue(sent < 5_000, sent + " events are held in memory");
            for (int i = 0; i < sent; i++) {
                assertTrue(watch.next().session().orElseThrow().getToken().endsWith("x" + i));
            }
        }
    }

    @Test
    void closingEndsTheRpc() throws Exception {
        try (LoopbackServer server = new LoopbackServer();
                PrivysealClient client = server.client()) {
            SessionWatch watch = client.watchSession(WatchSessionRequest.getDefaultInstance());
            var stream = (ServerCallStreamObserver<WatchSessionResponse>) opened(server);
            watch.close();
            watch.close();
            while (!stream.isCancelled()) {
                Thread.sleep(5);
            }
            PrivysealException end = assertThrows(PrivysealException.class, watch::next);
            assertEquals(Status.Code.CANCELLED, end.code());
        }
    }

    @Test
    void endsWithItsClient() throws Exception {
        try (LoopbackServer server = new LoopbackServer()) {
            PrivysealClient client = server.client();
            SessionWatch watch = client.watchSession(WatchSessionRequest.getDefaultInstance());
            client.close();
            PrivysealException end = assertThrows(PrivysealException.class, watch::next);
            assertEquals(Status.Code.CANCELLED, end.code());
        }
    }

    private static StreamObserver<WatchSessionResponse> opened(LoopbackServer server) throws InterruptedException {
        return server.watches.poll(5, TimeUnit.SECONDS);
    }

    private static WatchSessionResponse session(String token) {
        return WatchSessionResponse.newBuilder()
                .setSession(Session.newBuilder().setKey("keys/k").setToken(token))
                .build();
    }
}
