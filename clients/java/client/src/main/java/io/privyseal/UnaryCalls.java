package io.privyseal;

import com.google.protobuf.Message;
import io.grpc.MethodDescriptor;
import java.util.concurrent.CompletableFuture;

/**
 * How every unary RPC is called.
 *
 * <p>A call has a deadline, which covers all attempts and the waits between them. It is tried again where its
 * request has a {@code request_id}, the failure {@link PrivysealException#isRetryable() is retryable}, and there is
 * time; every attempt sends the same bytes. Interrupting the thread that blocks, or cancelling the future, ends the
 * RPC, also at the server.
 */
public interface UnaryCalls {
    /**
     * Calls an RPC and waits for the answer.
     *
     * @param method the RPC, as the generated stubs describe it
     * @param request what is asked
     * @param <Q> the type of the request
     * @param <A> the type of the answer
     * @return the answer
     * @throws PrivysealException when it is refused, can't be reached, or the thread was interrupted (code
     *     {@code CANCELLED}; the thread's interrupt status is kept)
     */
    <Q extends Message, A> A call(MethodDescriptor<Q, A> method, Q request);

    /**
     * Calls an RPC without blocking.
     *
     * @param method the RPC, as the generated stubs describe it
     * @param request what is asked
     * @param <Q> the type of the request
     * @param <A> the type of the answer
     * @return the answer; fails with {@link PrivysealException}
     */
    <Q extends Message, A> CompletableFuture<A> callAsync(MethodDescriptor<Q, A> method, Q request);
}
