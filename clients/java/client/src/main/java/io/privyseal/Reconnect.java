package io.privyseal;

import io.grpc.ManagedChannel;
import io.grpc.NameResolver;
import io.grpc.SynchronizationContext;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Cuts gRPC's wait between connection attempts, which grows to two minutes and can't be set, to 100 ms at first and 2 s at
 * most. It hears of failures as gRPC asks for names anew after each.
 */
final class Reconnect {
    private static final long FIRST_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    private static final long GREATEST_NANOS = TimeUnit.SECONDS.toNanos(2);
    private static final long QUIET_NANOS = 2 * GREATEST_NANOS;

    private SynchronizationContext context;
    private ScheduledExecutorService timer;
    private volatile ManagedChannel channel;
    private long wait = FIRST_NANOS;
    private long lastFailure = System.nanoTime() - QUIET_NANOS;
    private boolean pending;
    private boolean resetting;

    void use(NameResolver.Args args) {
        context = args.getSynchronizationContext();
        timer = args.getScheduledExecutorService();
    }

    void use(ManagedChannel channel) {
        this.channel = channel;
    }

    /** Takes note of a failure; in the channel's synchronization context. */
    void failed() {
        if (resetting) {
            return;
        }
        long now = System.nanoTime();
        wait = now - lastFailure >= QUIET_NANOS ? FIRST_NANOS : wait;
        lastFailure = now;
        if (!pending) {
            pending = true;
            timer.schedule(this::reset, wait, TimeUnit.NANOSECONDS);
            wait = Math.min(2 * wait, GREATEST_NANOS);
        }
    }

    private void reset() {
        ManagedChannel current = channel;
        if (current == null || current.isShutdown()) {
            return;
        }
        context.execute(() -> {
            pending = false;
            // The reset asks for names anew, too, which is no failure.
            resetting = true;
        });
        current.resetConnectBackoff();
        context.execute(() -> resetting = false);
    }
}
