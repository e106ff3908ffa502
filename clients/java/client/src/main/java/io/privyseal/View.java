package io.privyseal;

import com.google.protobuf.Message;
import io.grpc.CallOptions;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.time.Duration;
import java.util.Objects;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** The calls of a client with one timeout. */
record View(Connection connection, RetryPolicy retries, Duration timeout) implements Calls {
    @Override
    public <Q extends Message, A> A call(MethodDescriptor<Q, A> method, Q request) {
        Objects.requireNonNull(request, "request");
        Deadline deadline = deadline();
        CallOptions options = connection.options().withDeadline(deadline);
        for (int attempt = 1; ; attempt++) {
            try {
                return ClientCalls.blockingUnaryCall(connection.channel(), method, options, request);
            } catch (StatusRuntimeException e) {
                boolean wanted = Thread.currentThread().isInterrupted()
                        || Context.current().isCancelled();
                PrivysealException failure = connection.failure(e.getStatus(), e.getTrailers(), wanted);
                long left = deadline.timeRemaining(TimeUnit.NANOSECONDS);
                OptionalLong wait = retries.waitNanos(request, failure, attempt, left);
                if (wait.isEmpty()) {
                    throw failure;
                }
                sleep(wait.getAsLong());
            }
        }
    }

    @Override
    public <Q extends Message, A> CompletableFuture<A> callAsync(MethodDescriptor<Q, A> method, Q request) {
        return new AsyncCall<>(connection, retries, deadline(), method, Objects.requireNonNull(request, "request"))
                .start();
    }

    private Deadline deadline() {
        return Deadline.after(timeout.toNanos(), TimeUnit.NANOSECONDS);
    }

    private static void sleep(long nanos) {
        try {
            TimeUnit.NANOSECONDS.sleep(nanos);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw PrivysealException.local(
                    Status.Code.CANCELLED, "the thread was interrupted while the call waited to try again", null);
        }
    }
}
