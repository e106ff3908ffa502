package io.privyseal;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import java.util.function.Supplier;

/** A token that a file holds, read again at most once a second. One that can't be read leaves the last in force. */
final class TokenFile implements Supplier<String> {
    private static final long PERIOD_NANOS = TimeUnit.SECONDS.toNanos(1);

    private final Path file;
    private final LongSupplier nanoTime;
    private String token;
    private long readAt;

    TokenFile(Path file, LongSupplier nanoTime) {
        this.file = file;
        this.nanoTime = nanoTime;
        this.readAt = nanoTime.getAsLong();
        try {
            token = Files.readString(file).strip();
        } catch (IOException e) {
            throw new ConfigurationException(
                    "tokenFile", file + " can't be read; check that it is there and who may read it", e);
        }
        if (token.isEmpty()) {
            throw new ConfigurationException("tokenFile", file + " is empty; it should hold a token");
        }
    }

    @Override
    public synchronized String get() {
        long now = nanoTime.getAsLong();
        if (now - readAt >= PERIOD_NANOS) {
            readAt = now;
            try {
                String found = Files.readString(file).strip();
                token = found.isEmpty() ? token : found;
            } catch (IOException e) {
                // Being replaced, perhaps; the server refuses a token that is over.
            }
        }
        return token;
    }

    @Override
    public String toString() {
        return "TokenFile[" + file + "]";
    }
}
