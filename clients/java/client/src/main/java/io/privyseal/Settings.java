package io.privyseal;

import java.time.Duration;
import java.util.List;
import java.util.function.Supplier;

/** What a client was built with, found to be right. */
record Settings(
        List<Target> targets, Tls tls, boolean plaintext, Supplier<String> token, Duration timeout, int maxAttempts) {
    private static final Duration LONGEST = Duration.ofHours(1);

    Settings {
        if (targets.isEmpty()) {
            throw new ConfigurationException("target", "missing; give host:port or unix:/absolute/path");
        }
        boolean unix = targets.stream().anyMatch(Target::isUnix);
        if (unix && targets.size() > 1) {
            throw new ConfigurationException("target", "a Unix socket stands alone; take the other targets out");
        }
        if (plaintext && tls != null) {
            throw new ConfigurationException("plaintext", "contradicts tls; leave one of them out");
        }
        if (!plaintext && tls == null) {
            throw new ConfigurationException(
                    "tls", "missing; give the CA's file, or ask for plaintext on this host with plaintext()");
        }
        if (unix && tls != null) {
            throw new ConfigurationException("tls", "a Unix socket has none; ask for plaintext()");
        }
        if (plaintext && !targets.stream().allMatch(Target::isLocal)) {
            throw new ConfigurationException(
                    "plaintext", "only goes to loopback addresses and Unix sockets; use tls for " + targets);
        }
        if (plaintext && token != null) {
            throw new ConfigurationException("token", "is only sent over TLS; use tls, or leave the token out");
        }
        checkTimeout(timeout);
        if (maxAttempts < 1) {
            throw new ConfigurationException("maxAttempts", "is " + maxAttempts + "; give 1 (no retries) or more");
        }
    }

    static Duration checkTimeout(Duration timeout) {
        if (timeout.isNegative() || timeout.isZero() || timeout.compareTo(LONGEST) > 0) {
            throw new ConfigurationException("timeout", "is " + timeout + "; give more than 0 and at most 1 h");
        }
        return timeout;
    }

    @Override
    public String toString() {
        return "targets=" + targets + ", " + (plaintext ? "plaintext" : tls) + (token == null ? "" : ", token")
                + ", timeout=" + timeout + ", maxAttempts=" + maxAttempts;
    }
}
