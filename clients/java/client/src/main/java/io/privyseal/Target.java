package io.privyseal;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Where a server listens: a host and a port, or the path of a Unix socket. */
record Target(String host, int port, String socket) {
    private static final Pattern ADDRESS = Pattern.compile("(\\[[0-9A-Fa-f:.%]+]|[A-Za-z0-9._-]+):([0-9]{1,5})");
    private static final Pattern LOOPBACK =
            Pattern.compile("localhost|127\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}|\\[::1]");
    private static final String UNIX = "unix:";

    static Target parse(String text) {
        if (text.startsWith(UNIX)) {
            String path = text.substring(UNIX.length());
            if (!path.startsWith("/") || path.startsWith("//")) {
                throw new ConfigurationException("target", text + " needs an absolute path, as unix:/run/x.sock");
            }
            return new Target("", 0, path);
        }
        Matcher address = ADDRESS.matcher(text);
        int port = address.matches() ? Integer.parseInt(address.group(2)) : 0;
        if (port < 1 || port > 65535) {
            throw new ConfigurationException(
                    "target", "\"" + text + "\" is none; give host:port, [address]:port or unix:/absolute/path");
        }
        return new Target(address.group(1), port, "");
    }

    boolean isUnix() {
        return !socket.isEmpty();
    }

    /** Whether plaintext stays on this host. */
    boolean isLocal() {
        return isUnix() || LOOPBACK.matcher(host).matches();
    }

    /** The host without the brackets of an IPv6 address. */
    String lookup() {
        return host.startsWith("[") ? host.substring(1, host.length() - 1) : host;
    }

    @Override
    public String toString() {
        return isUnix() ? UNIX + socket : host + ":" + port;
    }
}
