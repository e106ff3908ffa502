package io.privyseal;

import java.io.IOException;
import java.io.Serial;

/**
 * The connection broke under a signed request, and the HTTP library was kept from sending the same bytes again. Whether
 * the venue acted on it is not known: look there, or send the request anew, which signs it anew.
 */
public final class SentOnceException extends IOException {
    @Serial
    private static final long serialVersionUID = 1L;

    SentOnceException() {
        super("the connection broke under a signed request, which is not sent twice; whether the venue acted on it is"
                + " not known: look there, or send it anew");
    }
}
