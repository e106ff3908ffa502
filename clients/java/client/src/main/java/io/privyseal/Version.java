package io.privyseal;

/** The client's release. */
final class Version {
    static final String CURRENT = "0.1.0";

    private Version() {}
}
