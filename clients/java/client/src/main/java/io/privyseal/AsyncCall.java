package io.privyseal;

import com.google.protobuf.Message;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** One RPC as a future, with its retries. Whoever completes or cancels the future first ends the RPC. */
final class AsyncCall<Q extends Message, A> {
    private final CompletableFuture<A> answer = new CompletableFuture<>();
    private final Connection connection;
    private final RetryPolicy retries;
    private final MethodDescriptor<Q, A> method;
    private final Q request;
    private final CallOptions options;
    private final Runnable attempt;
    private int attempts;
    private ClientCall<Q, A> current;

    AsyncCall(Connection connection, RetryPolicy retries, Deadline deadline, MethodDescriptor<Q, A> method, Q request) {
        this.connection = connection;
        this.retries = retries;
        this.method = method;
        this.request = request;
        this.options = connection.options().withDeadline(deadline);
        this.attempt = Context.current().wrap(this::attempt);
    }

    CompletableFuture<A> start() {
        answer.whenComplete((value, error) -> cancel());
        attempt.run();
        return answer;
    }

    // Under the lock that cancel() takes: gRPC does not bear a cancel between a call's start and its message.
    private synchronized void attempt() {
        if (!answer.isDone()) {
            attempts++;
            current = connection.channel().newCall(method, options);
            ClientCalls.asyncUnaryCall(current, request, new Answer());
        }
    }

    private synchronized void cancel() {
        if (current != null) {
            current.cancel("the caller cancelled it", null);
        }
    }

    private void failed(PrivysealException failure) {
        long left = options.getDeadline().timeRemaining(TimeUnit.NANOSECONDS);
        OptionalLong wait = retries.waitNanos(request, failure, attempts, left);
        if (wait.isEmpty()) {
            answer.completeExceptionally(failure);
        } else {
            CompletableFuture.delayedExecutor(wait.getAsLong(), TimeUnit.NANOSECONDS)
                    .execute(attempt);
        }
    }

    /** What comes of one attempt. */
    private final class Answer implements StreamObserver<A> {
        private A value;

        @Override
        public void onNext(A message) {
            value = message;
        }

        @Override
        public void onError(Throwable error) {
            boolean wanted = answer.isDone() || Context.current().isCancelled();
            failed(connection.failure(Status.fromThrowable(error), Status.trailersFromThrowable(error), wanted));
        }

        @Override
        public void onCompleted() {
            answer.complete(value);
        }
    }
}
