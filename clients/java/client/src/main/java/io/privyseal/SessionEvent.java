package io.privyseal;

import io.privyseal.v1.Session;
import java.util.Optional;

/** What happened to a session: either there is one, or it could not be renewed or was ended. */
public final class SessionEvent {
    private final Session session;
    private final PrivysealException failure;

    SessionEvent(Session session, PrivysealException failure) {
        this.session = session;
        this.failure = failure;
    }

    /**
     * Returns the session, a new one or the first.
     *
     * @return empty where this is a failure
     */
    public Optional<Session> session() {
        return Optional.ofNullable(session);
    }

    /**
     * Returns why there is no new session; the server goes on trying.
     *
     * @return empty where this is a session
     */
    public Optional<PrivysealException> failure() {
        return Optional.ofNullable(failure);
    }

    @Override
    public String toString() {
        return session != null ? "SessionEvent[session of " + session.getKey() + "]" : "SessionEvent[" + failure + "]";
    }
}
