package io.privyseal;

import java.io.IOException;
import okhttp3.Interceptor;
import okhttp3.Request;
import okhttp3.Response;

/**
 * Sits below OkHttp's own retries, and stops each that is left, and sees that nothing that comes after the door
 * changed what was signed. A 503 with {@code Retry-After: 0} is repeated whatever the settings say, and one with more digits
 * than OkHttp counts breaks it, so that header is put aside until OkHttp has looked.
 */
final class SentOnceInterceptor implements Interceptor {
    private static final String RETRY_AFTER = "Retry-After";
    private static final String ASIDE = "Privyseal-Retry-After";

    /** Goes with a signed request; it is used up when that is sent. */
    static final class Ticket {
        private final Request signed;
        private boolean used;

        Ticket(Request signed) {
            this.signed = signed;
        }

        synchronized boolean use() {
            boolean first = !used;
            used = true;
            return first;
        }

        boolean isFor(Request request) {
            return request.method().equals(signed.method())
                    && request.url().equals(signed.url())
                    && request.body() == signed.body()
                    && signed.headers().names().stream()
                            .allMatch(name -> request.headers(name).equals(signed.headers(name)));
        }
    }

    @Override
    public Response intercept(Chain chain) throws IOException {
        Ticket ticket = chain.request().tag(Ticket.class);
        if (ticket == null || !ticket.use()) {
            throw new SentOnceException();
        }
        if (!ticket.isFor(chain.request())) {
            throw new NotSentException("an interceptor of the OkHttp client changed what was signed;"
                    + " have it work before the door, by addInterceptor and not addNetworkInterceptor");
        }
        Response response = chain.proceed(chain.request());
        return response.code() == 503 && response.header(RETRY_AFTER) != null
                ? renamed(response, RETRY_AFTER, ASIDE)
                : response;
    }

    static Response restored(Response response) {
        return response.header(ASIDE) == null ? response : renamed(response, ASIDE, RETRY_AFTER);
    }

    private static Response renamed(Response response, String from, String to) {
        return response.newBuilder()
                .removeHeader(from)
                .header(to, response.header(from))
                .build();
    }
}
