package io.privyseal;

import okhttp3.Authenticator;
import okhttp3.CookieJar;
import okhttp3.OkHttpClient;

/** The door for OkHttp, which is an optional dependency: have it on the class path to use this. */
public final class OkHttpDoor {
    private OkHttpDoor() {}

    /**
     * Returns an OkHttp client whose requests go out signed. Its calls fail with {@link NotSentException} where nothing
     * was sent.
     *
     * <p>It shares connections and threads with the client that is given, and has its settings, but for those by which
     * OkHttp would send the same bytes again or not at all: it follows no redirects, does not retry on connection
     * failures, answers no challenge of the venue's, and has no cache and no cookies. The signing interceptor comes after those that
     * the client has, so these see the request as the caller wrote it. WebSockets can't be opened through it.
     *
     * @param okHttp what sends
     * @param door whose key signs
     * @return what to send requests with
     */
    public static OkHttpClient over(OkHttpClient okHttp, Door door) {
        return okHttp.newBuilder()
                .followRedirects(false)
                .followSslRedirects(false)
                .retryOnConnectionFailure(false)
                .authenticator(Authenticator.NONE)
                .cache(null)
                .cookieJar(CookieJar.NO_COOKIES)
                .addInterceptor(new SigningInterceptor(door))
                .addNetworkInterceptor(new SentOnceInterceptor())
                .build();
    }

    /**
     * Returns an OkHttp client whose requests go out signed, by a door with its defaults.
     *
     * @param okHttp what sends
     * @param client who has the requests signed
     * @param key the key's name, {@code keys/{key}}
     * @return what to send requests with
     */
    public static OkHttpClient over(OkHttpClient okHttp, PrivysealClient client, String key) {
        return over(okHttp, client.door(key));
    }
}
