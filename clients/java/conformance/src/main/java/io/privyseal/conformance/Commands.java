package io.privyseal.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.protobuf.InvalidProtocolBufferException;
import io.privyseal.Calls;
import io.privyseal.Overhead;
import io.privyseal.PrivysealClient;
import io.privyseal.PrivysealException;
import io.privyseal.SessionWatch;
import io.privyseal.Tls;
import io.privyseal.v1.SignRequest;
import io.privyseal.v1.WatchSessionRequest;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The commands of the runner's protocol, and the clients and streams that they made. */
final class Commands implements AutoCloseable {
    private final Map<String, PrivysealClient> clients = new ConcurrentHashMap<>();
    private final Map<String, SessionWatch> streams = new ConcurrentHashMap<>();
    private final Sends sends = new Sends();

    JsonObject answer(JsonObject command) {
        try {
            return run(command);
        } catch (Throwable e) {
            return Failure.answer(e);
        }
    }

    private JsonObject run(JsonObject command) throws Throwable {
        return switch (text(command, "do")) {
            case "describe" -> describe();
            case "connect" -> connect(command);
            case "call" -> Rpc.named(text(command, "rpc")).timed(calls(command), command);
            case "watch" -> watch(command);
            case "next" -> next(command);
            case "unwatch" -> {
                streams.remove(text(command, "stream")).close();
                yield new JsonObject();
            }
            case "send" -> sends.send(client(command), command);
            case "load" -> Load.run(client(command), command);
            case "overhead" ->
                Overhead.measure(
                        client(command),
                        SignRequest.parseFrom(bytes(command, "request")),
                        command.get("count").getAsInt());
            case "close" -> {
                clients.remove(text(command, "client")).close();
                yield new JsonObject();
            }
            default -> throw new IllegalArgumentException("unknown command " + text(command, "do"));
        };
    }

    private static JsonObject describe() {
        JsonArray doors = new JsonArray();
        doors.add(Sends.JDK);
        doors.add(Sends.OKHTTP);
        JsonObject answer = new JsonObject();
        answer.addProperty("language", "java");
        answer.addProperty("version", "0.1.0");
        answer.add("doors", doors);
        return answer;
    }

    private JsonObject connect(JsonObject command) {
        PrivysealClient.Builder builder = PrivysealClient.builder();
        command.getAsJsonArray("targets").forEach(target -> builder.target(target.getAsString()));
        if (has(command, "tls")) {
            builder.tls(tls(command.getAsJsonObject("tls")));
        }
        if (has(command, "plaintext") && command.get("plaintext").getAsBoolean()) {
            builder.plaintext();
        }
        if (has(command, "token_file")) {
            builder.tokenFile(Path.of(text(command, "token_file")));
        }
        if (has(command, "timeout_ms")) {
            builder.timeout(duration(command, "timeout_ms"));
        }
        if (has(command, "max_attempts")) {
            builder.maxAttempts(command.get("max_attempts").getAsInt());
        }
        PrivysealClient client = builder.build();
        PrivysealClient before = clients.put(text(command, "client"), client);
        if (before != null) {
            before.close();
        }
        JsonObject answer = new JsonObject();
        answer.addProperty("text", client.toString());
        return answer;
    }

    private static Tls tls(JsonObject files) {
        Path ca = Path.of(text(files, "ca"));
        Tls tls = has(files, "certificate") || has(files, "private_key")
                ? Tls.files(ca, Path.of(text(files, "certificate")), Path.of(text(files, "private_key")))
                : Tls.files(ca);
        return has(files, "server_name") ? tls.withServerName(text(files, "server_name")) : tls;
    }

    private JsonObject watch(JsonObject command) throws InvalidProtocolBufferException {
        WatchSessionRequest request = WatchSessionRequest.parseFrom(bytes(command, "request"));
        streams.put(text(command, "stream"), client(command).watchSession(request));
        return new JsonObject();
    }

    private JsonObject next(JsonObject command) {
        JsonObject answer = new JsonObject();
        try {
            streams.get(text(command, "stream"))
                    .next(duration(command, "timeout_ms"))
                    .ifPresentOrElse(
                            event -> {
                                event.session().ifPresent(s -> answer.addProperty("session", base64(s.toByteArray())));
                                event.failure().ifPresent(e -> answer.add("failure", Failure.error(e)));
                            },
                            () -> answer.addProperty("nothing", true));
        } catch (PrivysealException e) {
            answer.add("end", Failure.error(e));
        }
        return answer;
    }

    private PrivysealClient client(JsonObject command) {
        return clients.get(text(command, "client"));
    }

    private Calls calls(JsonObject command) {
        return has(command, "timeout_ms")
                ? client(command).withTimeout(duration(command, "timeout_ms"))
                : client(command);
    }

    @Override
    public void close() {
        streams.values().forEach(SessionWatch::close);
        clients.values().forEach(PrivysealClient::close);
    }

    static boolean has(JsonObject object, String name) {
        return object.has(name) && !object.get(name).isJsonNull();
    }

    static String text(JsonObject object, String name) {
        return object.get(name).getAsString();
    }

    static Duration duration(JsonObject object, String name) {
        return Duration.ofMillis(object.get(name).getAsLong());
    }

    static byte[] bytes(JsonObject object, String name) {
        return Base64.getDecoder().decode(text(object, name));
    }

    static String base64(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }
}
