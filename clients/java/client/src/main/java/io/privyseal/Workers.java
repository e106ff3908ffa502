package io.privyseal;

import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Daemon threads for what may block: neither the caller's pools nor the common one wait for a stream. */
final class Workers {
    private static final ExecutorService THREADS = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(null, task, "privyseal-worker", 0, false);
        thread.setContextClassLoader(Workers.class.getClassLoader());
        thread.setDaemon(true);
        return thread;
    });

    private Workers() {}

    static void run(Runnable task) {
        THREADS.execute(task);
    }
}
