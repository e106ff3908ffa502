package io.privyseal;

import java.io.IOException;
import java.io.Serial;
import java.util.Optional;

/**
 * A request that a door did not send: nothing of it reached the venue. Either Privyseal did not sign it, and
 * {@link #failure()} tells why, or the door itself refused it.
 */
public final class NotSentException extends IOException {
    @Serial
    private static final long serialVersionUID = 1L;

    /** @serial the client's own failure, or null where the door refused */
    private final PrivysealException failure;

    NotSentException(String message) {
        super("not sent: " + message);
        this.failure = null;
    }

    NotSentException(PrivysealException failure) {
        super("not sent: " + failure.getMessage(), failure);
        this.failure = failure;
    }

    /**
     * Returns why Privyseal did not sign it.
     *
     * @return also the {@linkplain #getCause() cause}; empty where the door itself refused, as the message says
     */
    public Optional<PrivysealException> failure() {
        return Optional.ofNullable(failure);
    }
}
