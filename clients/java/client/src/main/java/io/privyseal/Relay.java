package io.privyseal;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Future;

/** The future of several steps; cancelling it cancels the step under way. */
final class Relay<T> extends CompletableFuture<T> {
    private volatile Future<?> current;

    <U> CompletableFuture<U> follow(CompletableFuture<U> step) {
        current = step;
        if (isCancelled()) {
            step.cancel(true);
        }
        return step;
    }

    void end(T value, Throwable error) {
        if (error == null) {
            complete(value);
        } else {
            completeExceptionally(unwrapped(error));
        }
    }

    @Override
    public boolean cancel(boolean mayInterruptIfRunning) {
        boolean cancelled = super.cancel(mayInterruptIfRunning);
        Future<?> step = current;
        if (cancelled && step != null) {
            step.cancel(true);
        }
        return cancelled;
    }

    static Throwable unwrapped(Throwable error) {
        return error instanceof CompletionException && error.getCause() != null ? error.getCause() : error;
    }
}
