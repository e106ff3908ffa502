package io.privyseal;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import io.grpc.Status.Code;
import io.privyseal.v1.LoginRequest;
import io.privyseal.v1.SignRequest;
import java.util.List;
import java.util.OptionalLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class RetryPolicyTest {
    private static final SignRequest WITH_ID =
            SignRequest.newBuilder().setRequestId("id").build();
    private static final long SECOND = 1_000_000_000L;
    private static final long MS = 1_000_000L;

    private final RetryPolicy least = new RetryPolicy(4, () -> 0.0);
    private final RetryPolicy most = new RetryPolicy(4, () -> Math.nextDown(1.0));

    @Test
    void waitsBetweenHalfAndWhole() {
        PrivysealException down = failure(Code.UNAVAILABLE, "");
        List<Long> shortest =
                IntStream.range(1, 9).mapToObj(n -> least.backoffNanos(down, n)).toList();
        assertEquals(List.of(50 * MS, 100 * MS, 200 * MS, 400 * MS, 800 * MS, SECOND, SECOND, SECOND), shortest);
        List<Long> longest = IntStream.range(1, 8)
                .mapToObj(n -> most.backoffNanos(down, n) / MS + 1)
                .toList();
        assertEquals(List.of(100L, 200L, 400L, 800L, 1600L, 2000L, 2000L), longest);
        assertEquals(SECOND, least.backoffNanos(down, Integer.MAX_VALUE));
    }

    @Test
    void waitsAsTold() {
        PrivysealException failure = told(3);
        assertEquals(OptionalLong.of(3 * SECOND), least.waitNanos(WITH_ID, failure, 1, 4 * SECOND));
        assertEquals(OptionalLong.empty(), least.waitNanos(WITH_ID, failure, 1, 3 * SECOND));
    }

    @Test
    void bearsWaitsThatAreNone() {
        for (long seconds : new long[] {0, -1, Long.MIN_VALUE}) {
            assertEquals(50 * MS, least.backoffNanos(told(seconds), 1));
        }
        for (long seconds : new long[] {90_000, 315_576_000_000L, Long.MAX_VALUE}) {
            assertEquals(86_400 * SECOND, least.backoffNanos(told(seconds), 1));
            assertEquals(OptionalLong.empty(), least.waitNanos(WITH_ID, told(seconds), 1, SECOND));
        }
    }

    @Test
    void triesAgainOnlyWhereThatIsSafe() {
        OptionalLong first = OptionalLong.of(50 * MS);
        assertEquals(first, least.waitNanos(WITH_ID, failure(Code.UNAVAILABLE, ""), 1, SECOND));
        assertEquals(first, least.waitNanos(WITH_ID, failure(Code.ABORTED, ""), 1, SECOND));
        OptionalLong none = OptionalLong.empty();
        assertEquals(none, least.waitNanos(WITH_ID, failure(Code.UNAVAILABLE, "VENUE_OUTCOME_UNKNOWN"), 1, SECOND));
        assertEquals(none, least.waitNanos(WITH_ID, failure(Code.RESOURCE_EXHAUSTED, ""), 1, SECOND));
        assertEquals(none, least.waitNanos(WITH_ID, failure(Code.DEADLINE_EXCEEDED, ""), 1, SECOND));
        PrivysealException down = failure(Code.UNAVAILABLE, "");
        assertEquals(none, least.waitNanos(SignRequest.getDefaultInstance(), down, 1, SECOND));
        assertEquals(none, least.waitNanos(LoginRequest.getDefaultInstance(), down, 1, SECOND));
        assertEquals(none, least.waitNanos(WITH_ID, down, 4, SECOND));
        assertEquals(none, least.waitNanos(WITH_ID, down, 1, 50 * MS));
        assertEquals(none, new RetryPolicy(1, () -> 0.0).waitNanos(WITH_ID, down, 1, SECOND));
    }

    private static PrivysealException told(long seconds) {
        return PrivysealException.of(Status.newBuilder()
                .setCode(Code.UNAVAILABLE.value())
                .addDetails(Any.pack(RetryInfo.newBuilder()
                        .setRetryDelay(Duration.newBuilder().setSeconds(seconds))
                        .build()))
                .build());
    }

    private static PrivysealException failure(Code code, String reason) {
        return PrivysealException.of(Status.newBuilder()
                .setCode(code.value())
                .addDetails(Any.pack(ErrorInfo.newBuilder()
                        .setDomain("privyseal")
                        .setReason(reason)
                        .build()))
                .build());
    }
}
