package io.privyseal;

import com.google.protobuf.ByteString;
import io.grpc.Deadline;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.concurrent.TimeUnit;
import okio.Buffer;
import okio.BufferedSource;
import okio.Source;
import okio.Timeout;

/**
 * The body of an OkHttp answer whose beginning is read before the caller asks for it, by a thread of its own: a read that
 * waits for a slow venue can't be given up without losing the connection.
 */
final class AheadSource implements Source, Runnable {
    private static final long CHUNK = 8192;

    private final BufferedSource venue;
    private final Runnable cancel;
    private final Buffer beginning = new Buffer();
    private long total;
    private boolean wanted = true;
    private boolean done;
    private boolean closed;
    private IOException failure;

    AheadSource(BufferedSource venue, Runnable cancel) {
        this.venue = venue;
        this.cancel = cancel;
    }

    @Override
    public void run() {
        while (!took()) {
            // Until the beginning is whole, or the caller reads for itself.
        }
    }

    private boolean took() {
        Buffer chunk = new Buffer();
        IOException problem = null;
        long count = -1;
        try {
            count = venue.read(chunk, CHUNK);
        } catch (IOException e) {
            problem = e;
        } catch (RuntimeException e) {
            problem = new IOException(e);
        }
        synchronized (this) {
            beginning.write(chunk, chunk.size());
            total += Math.max(0, count);
            failure = problem;
            done = count < 0 || closed || !wanted || total >= VenueReport.MAX_BYTES;
            notifyAll();
            if (done && closed) {
                release();
            }
            return done;
        }
    }

    /** Returns what has come by then. */
    synchronized ByteString beginning(Deadline end) {
        try {
            for (long left = 1; !done && left > 0; left = end.timeRemaining(TimeUnit.MILLISECONDS)) {
                wait(left);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        wanted = false;
        return ByteString.copyFrom(beginning.snapshot().toByteArray());
    }

    @Override
    public long read(Buffer sink, long byteCount) throws IOException {
        synchronized (this) {
            while (beginning.exhausted() && !done) {
                try {
                    wait();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    throw new InterruptedIOException("interrupted while the answer was read");
                }
            }
            if (!beginning.exhausted()) {
                return beginning.read(sink, byteCount);
            }
            if (failure != null) {
                throw failure;
            }
        }
        return venue.read(sink, byteCount);
    }

    @Override
    public Timeout timeout() {
        return venue.timeout();
    }

    @Override
    public synchronized void close() {
        if (closed) {
            return;
        }
        closed = true;
        if (done) {
            release();
        } else {
            // The thread that reads then ends, and lets go of the connection.
            cancel.run();
        }
    }

    private void release() {
        try {
            venue.close();
        } catch (IOException e) {
            // Nobody reads any more.
        }
    }
}
