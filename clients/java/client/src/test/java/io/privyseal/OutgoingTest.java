package io.privyseal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.privyseal.v1.Header;
import io.privyseal.v1.SignedHttpRequest;
import java.net.URI;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class OutgoingTest {
    @Test
    void mergesHeaders() throws NotSentException {
        List<Map.Entry<String, String>> own = List.of(
                Map.entry("x-key", "forged"),
                Map.entry("X-Strategy", "a"),
                Map.entry("X-Strategy", "b"),
                Map.entry("Host", "h"),
                Map.entry("content-length", "9"),
                Map.entry("Transfer-Encoding", "chunked"),
                Map.entry("CONNECTION", "close"),
                Map.entry("Authorization", "Basic x"),
                Map.entry("Cookie", "c"),
                Map.entry("Content-Type", "text/plain"));
        Map.Entry<String, String> signed = Map.entry("X-KEY", "right");
        Map.Entry<String, String> a = Map.entry("X-Strategy", "a");
        Map.Entry<String, String> b = Map.entry("X-Strategy", "b");
        assertEquals(
                List.of(signed, a, b),
                Outgoing.of(request("", "X-KEY", "right"), own).headers());
        assertEquals(
                List.of(signed, a, b, Map.entry("Content-Type", "text/plain")),
                Outgoing.of(request("{}", "X-KEY", "right"), own).headers());
        Outgoing typed = Outgoing.of(request("{}", "content-type", "application/json"), own);
        assertEquals(
                List.of(Map.entry("content-type", "application/json"), Map.entry("x-key", "forged"), a, b),
                typed.headers());
        assertFalse(typed.toString().contains("json"));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "https://v.example/a?b=1&c=%2F+%20",
                "https://v.example:8443/a//b/../c",
                "http://127.0.0.1:1/%E2%82%AC?x=%7B%7D",
                "https://v.example/a?x=a=b&&y"
            })
    void letsUrlsPassThatStayAsTheyAre(String url) throws NotSentException {
        assertEquals(url, JdkRequest.uri(url).toString());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "https://v.example/a b",
                "https://v.example/€",
                "https://v.example/a?",
                "https://v.example/a|b",
                "https://v.example/a?x={}",
                "https://v.example/a#f",
                "https://v.example",
                "https://u:p@v.example/a",
                "/a"
            })
    void refusesUrlsThatTheJdkWouldChange(String url) {
        String message =
                assertThrows(NotSentException.class, () -> JdkRequest.uri(url)).getMessage();
        assertFalse(message.contains("x={}"), message);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "https://v.example/a b",
                "https://v.example/a/../b",
                "https://v.example/€",
                "https://v.example/a?x='",
                "https://v.example/a#f",
                "https://v.example"
            })
    void refusesUrlsThatOkHttpWouldChange(String url) {
        assertThrows(NotSentException.class, () -> SigningInterceptor.url(url));
    }

    @ParameterizedTest
    @ValueSource(strings = {"https://v.example/a?b=1&c=%2F+%20", "https://v.example:443/a?", "http://127.0.0.1:1/%7e"})
    void letsUrlsPassThatOkHttpKeeps(String url) throws NotSentException {
        assertTrue(url.endsWith(SigningInterceptor.url(url).encodedPath()
                + (SigningInterceptor.url(url).encodedQuery() == null
                        ? ""
                        : "?" + SigningInterceptor.url(url).encodedQuery())));
    }

    @Test
    void signsWhatTheJdkSends() {
        assertEquals("/", JdkRequest.pathAndQuery(URI.create("https://h")));
        assertEquals("/a", JdkRequest.pathAndQuery(URI.create("https://h/a?")));
        assertEquals("/%C3%BC?q=%E2%82%AC&r=%2F+", JdkRequest.pathAndQuery(URI.create("https://h/ü?q=€&r=%2F+#f")));
        assertEquals("//a?x", JdkRequest.pathAndQuery(URI.create("https://h//a?x")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"ü", " a", "a ", "\ta", "a\r\nX-Evil: b", "a\nb", "a\0", "a\u007f"})
    void refusesSignedHeadersThatWouldNotArrive(String value) {
        assertThrows(NotSentException.class, () -> Outgoing.of(request("", "X-KEY", value), List.of()));
        assertThrows(NotSentException.class, () -> Outgoing.of(request("", "X" + value, "right"), List.of()));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "a", "a b\tc", "sha256=/+=="})
    void letsHeadersPassThatArrive(String value) throws NotSentException {
        assertEquals(
                value,
                Outgoing.of(request("", "X-KEY", value), List.of())
                        .headers()
                        .get(0)
                        .getValue());
    }

    private static SignedHttpRequest request(String body, String header, String value) {
        return SignedHttpRequest.newBuilder()
                .setMethod("POST")
                .setUrl("https://v.example/a")
                .setBody(ByteString.copyFromUtf8(body))
                .addHeaders(Header.newBuilder().setName(header).setValue(value))
                .build();
    }
}
