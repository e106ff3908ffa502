package io.privyseal.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.privyseal.Door;
import io.privyseal.OkHttpDoor;
import io.privyseal.PrivysealClient;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;

/** Sends requests through the native doors. */
final class Sends {
    static final String JDK = "java.net.http";
    static final String OKHTTP = "okhttp";

    private static final Set<String> RESTRICTED = Set.of("host", "content-length", "connection", "expect", "upgrade");

    private final HttpClient jdk = HttpClient.newHttpClient();
    private final OkHttpClient okHttp = new OkHttpClient();

    JsonObject send(PrivysealClient client, JsonObject command) throws IOException, InterruptedException {
        Door door = client.door(Commands.text(command, "key"));
        if (Commands.has(command, "login") && !command.get("login").getAsBoolean()) {
            door = door.withoutLogin();
        }
        if (Commands.has(command, "report")) {
            door = door.withReport(
                    Door.Report.valueOf(Commands.text(command, "report").toUpperCase(Locale.ROOT)));
        }
        if (Commands.has(command, "max_body_bytes")) {
            door = door.withMaxBodyBytes(command.get("max_body_bytes").getAsInt());
        }
        return Commands.has(command, "door") && Commands.text(command, "door").equals(OKHTTP)
                ? byOkHttp(door, command)
                : byJdk(door, command);
    }

    private JsonObject byJdk(Door door, JsonObject command) throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(Commands.text(command, "url")))
                .method(
                        Commands.text(command, "method"),
                        Commands.has(command, "body")
                                ? BodyPublishers.ofByteArray(Commands.bytes(command, "body"))
                                : BodyPublishers.noBody());
        for (JsonElement header : headers(command)) {
            String name = header.getAsJsonArray().get(0).getAsString();
            if (!RESTRICTED.contains(name.toLowerCase(Locale.ROOT))) {
                request.header(name, header.getAsJsonArray().get(1).getAsString());
            }
        }
        if (Commands.has(command, "timeout_ms")) {
            request.timeout(Commands.duration(command, "timeout_ms"));
        }
        HttpClient http = door.over(jdk);
        HttpRequest built = request.build();
        HttpResponse<byte[]> response = null;
        for (int i = 0; i < times(command); i++) {
            response = http.send(built, BodyHandlers.ofByteArray());
        }
        JsonArray headers = new JsonArray();
        response.headers().map().forEach((name, values) -> values.forEach(value -> headers.add(pair(name, value))));
        return answer(response.statusCode(), headers, response.body());
    }

    private JsonObject byOkHttp(Door door, JsonObject command) throws IOException {
        String method = Commands.text(command, "method");
        RequestBody body = Commands.has(command, "body")
                ? RequestBody.create(Commands.bytes(command, "body"))
                : List.of("POST", "PUT", "PATCH").contains(method) ? RequestBody.create(new byte[0]) : null;
        Request.Builder request =
                new Request.Builder().url(Commands.text(command, "url")).method(method, body);
        for (JsonElement header : headers(command)) {
            request.addHeader(
                    header.getAsJsonArray().get(0).getAsString(),
                    header.getAsJsonArray().get(1).getAsString());
        }
        OkHttpClient sender = Commands.has(command, "timeout_ms")
                ? okHttp.newBuilder()
                        .callTimeout(Commands.duration(command, "timeout_ms"))
                        .build()
                : okHttp;
        OkHttpClient http = OkHttpDoor.over(sender, door);
        Request built = request.build();
        JsonObject answer = null;
        for (int i = 0; i < times(command); i++) {
            try (Response response = http.newCall(built).execute()) {
                JsonArray headers = new JsonArray();
                response.headers().forEach(header -> headers.add(pair(header.getFirst(), header.getSecond())));
                answer = answer(response.code(), headers, response.body().bytes());
            }
        }
        return answer;
    }

    private static JsonArray headers(JsonObject command) {
        return Commands.has(command, "headers") ? command.getAsJsonArray("headers") : new JsonArray();
    }

    private static int times(JsonObject command) {
        return Commands.has(command, "times") ? command.get("times").getAsInt() : 1;
    }

    private static JsonArray pair(String name, String value) {
        JsonArray pair = new JsonArray();
        pair.add(name);
        pair.add(value);
        return pair;
    }

    private static JsonObject answer(int status, JsonArray headers, byte[] body) {
        JsonObject answer = new JsonObject();
        answer.addProperty("status", status);
        answer.add("headers", headers);
        answer.addProperty("body", Commands.base64(body));
        return answer;
    }
}
