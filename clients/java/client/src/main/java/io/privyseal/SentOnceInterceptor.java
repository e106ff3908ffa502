package io.privyseal;

import java.io.IOException;
import okhttp3.Interceptor;
import okhttp3.Response;

/**
 * Sits below OkHttp's own retries, and stops each that is left. A 503 with {@code Retry-After: 0} is repeated whatever the
 * settings say, so that header is put aside until OkHttp has looked.
 */
final class SentOnceInterceptor implements Interceptor {
    private static final String RETRY_AFTER = "Retry-After";
    private static final String ASIDE = "Privyseal-Retry-After";

    /** Goes with a signed request; it is used up when that is sent. */
    static final class Ticket {
        private boolean used;

        synchronized boolean use() {
            boolean first = !used;
            used = true;
            return first;
        }
    }

    @Override
    public Response intercept(Chain chain) throws IOException {
        Ticket ticket = chain.request().tag(Ticket.class);
        if (ticket == null || !ticket.use()) {
            throw new SentOnceException();
        }
        Response response = chain.proceed(chain.request());
        boolean atOnce = response.header(RETRY_AFTER, "").strip().matches("0+");
        return response.code() == 503 && atOnce ? renamed(response, RETRY_AFTER, ASIDE) : response;
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
