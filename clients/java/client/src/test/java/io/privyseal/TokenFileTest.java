package io.privyseal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenFileTest {
    @TempDir
    Path folder;

    @Test
    void readsAgainOnceASecond() throws IOException {
        AtomicLong clock = new AtomicLong(-5);
        Path file = folder.resolve("token");
        Files.writeString(file, "first\n");
        TokenFile token = new TokenFile(file, clock::get);
        Files.writeString(file, "second");
        assertEquals("first", token.get());
        clock.addAndGet(TimeUnit.SECONDS.toNanos(1));
        assertEquals("second", token.get());
        Files.writeString(file, "");
        clock.addAndGet(TimeUnit.SECONDS.toNanos(1));
        assertEquals("second", token.get());
        Files.delete(file);
        clock.addAndGet(TimeUnit.SECONDS.toNanos(1));
        assertEquals("second", token.get());
        assertFalse(token.toString().contains("second"));
    }

    @Test
    void namesWhatIsMissing() throws IOException {
        Path file = folder.resolve("none");
        assertThrows(ConfigurationException.class, () -> new TokenFile(file, () -> 0));
        Files.writeString(file, " \n");
        assertThrows(ConfigurationException.class, () -> new TokenFile(file, () -> 0));
    }
}
