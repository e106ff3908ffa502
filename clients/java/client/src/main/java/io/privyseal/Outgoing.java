package io.privyseal;

import io.privyseal.v1.Header;
import io.privyseal.v1.SignedHttpRequest;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** What goes over the wire: the signed request, and those of the caller's headers that may go along. */
record Outgoing(String method, String url, List<Map.Entry<String, String>> headers, byte[] body) {
    private static final String CONTENT_TYPE = "content-type";
    private static final Set<String> KEPT_BACK = Set.of(
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "authorization",
            "cookie",
            "proxy-authorization",
            "proxy-connection",
            "keep-alive",
            "te",
            "trailer",
            "upgrade",
            "expect");

    private static final Pattern NAME = Pattern.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+");
    private static final Pattern VALUE = Pattern.compile("([!-~]([ -~\\t]*[!-~])?)?");

    static Outgoing of(SignedHttpRequest signed, List<Map.Entry<String, String>> own) throws NotSentException {
        Set<String> names = signed.getHeadersList().stream()
                .map(header -> header.getName().toLowerCase(Locale.ROOT))
                .collect(Collectors.toSet());
        List<Map.Entry<String, String>> headers = new ArrayList<>();
        for (Header header : signed.getHeadersList()) {
            check(header);
            headers.add(Map.entry(header.getName(), header.getValue()));
        }
        for (Map.Entry<String, String> header : own) {
            String name = header.getKey().toLowerCase(Locale.ROOT);
            boolean idle = name.equals(CONTENT_TYPE) && signed.getBody().isEmpty();
            if (!names.contains(name) && !KEPT_BACK.contains(name) && !idle) {
                headers.add(header);
            }
        }
        return new Outgoing(
                signed.getMethod(),
                signed.getUrl(),
                List.copyOf(headers),
                signed.getBody().toByteArray());
    }

    /** Libraries trim values, and put question marks for what is not ASCII. */
    private static void check(Header header) throws NotSentException {
        if (!NAME.matcher(header.getName()).matches()
                || !VALUE.matcher(header.getValue()).matches()) {
            throw new NotSentException("a signed header would not arrive as it is, since its name or value is not"
                    + " visible ASCII; look at the key's settings, or tell who keeps the server");
        }
    }

    static NotSentException changed(String library, String signed) {
        String path = signed.replaceFirst("[?].*", "");
        return new NotSentException(library + " would change the signed URL of " + path
                + "; write path and query percent-encoded, as they shall go over the wire");
    }

    @Override
    public String toString() {
        return "Outgoing[" + method + ", hidden]";
    }
}
