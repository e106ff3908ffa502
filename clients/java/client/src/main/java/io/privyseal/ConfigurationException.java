package io.privyseal;

import java.io.Serial;

/** A setting of a client or a door that can't be right; told when it is made, before anything is sent. */
public final class ConfigurationException extends IllegalArgumentException {
    @Serial
    private static final long serialVersionUID = 1L;

    private final String setting;

    ConfigurationException(String setting, String message) {
        this(setting, message, null);
    }

    ConfigurationException(String setting, String message, Throwable cause) {
        super(setting + ": " + message, cause);
        this.setting = setting;
    }

    /**
     * Returns the setting's name.
     *
     * @return the name of the builder's method, such as {@code tls}
     */
    public String setting() {
        return setting;
    }
}
