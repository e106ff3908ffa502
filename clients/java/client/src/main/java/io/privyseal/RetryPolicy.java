package io.privyseal;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;
import java.util.function.DoubleSupplier;

/** Whether a failed call is tried again, and after how long. */
record RetryPolicy(int maxAttempts, DoubleSupplier random) {
    private static final long FIRST_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    private static final long GREATEST_NANOS = TimeUnit.SECONDS.toNanos(2);
    private static final int DOUBLINGS = 5;

    /** Returns the nanoseconds to wait before the next attempt, or nothing where this failure is the last. */
    OptionalLong waitNanos(Message request, PrivysealException failure, int attempt, long nanosLeft) {
        if (attempt >= maxAttempts || !failure.isRetryable() || !hasRequestId(request)) {
            return OptionalLong.empty();
        }
        long wait = backoffNanos(failure, attempt);
        return wait < nanosLeft ? OptionalLong.of(wait) : OptionalLong.empty();
    }

    /** Returns what the failure says, if that is a time to wait, else between a half and the whole of 100 ms, 200 ms, 400 ms…, at most 2 s. */
    long backoffNanos(PrivysealException failure, int attempt) {
        return failure.retryAfter()
                .filter(wait -> !wait.isNegative() && !wait.isZero())
                .map(wait -> Door.capped(wait).toNanos())
                .orElseGet(() -> {
                    long whole = Math.min(GREATEST_NANOS, FIRST_NANOS << Math.min(attempt - 1, DOUBLINGS));
                    return whole / 2 + (long) (random.getAsDouble() * (whole - whole / 2));
                });
    }

    private static boolean hasRequestId(Message request) {
        FieldDescriptor field = request.getDescriptorForType().findFieldByName("request_id");
        return field != null && !request.getField(field).equals("");
    }
}
