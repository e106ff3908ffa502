package io.privyseal.conformance;

import com.google.gson.JsonObject;
import com.google.protobuf.Message;
import io.privyseal.Calls;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** One of the client's methods for unary RPCs, found by its name. */
record Rpc(Method blocking, Method async) {
    static Rpc named(String name) {
        String method = name.substring(0, 1).toLowerCase(Locale.ROOT) + name.substring(1);
        return new Rpc(find(method), find(method + "Async"));
    }

    private static Method find(String name) {
        return Arrays.stream(Calls.class.getMethods())
                .filter(method -> method.getName().equals(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("no method " + name));
    }

    Message request(byte[] bytes) throws ReflectiveOperationException {
        return (Message) blocking.getParameterTypes()[0]
                .getMethod("parseFrom", byte[].class)
                .invoke(null, (Object) bytes);
    }

    Message call(Calls calls, Message request) throws Throwable {
        try {
            return (Message) blocking.invoke(calls, request);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    /** Calls, cancels if the command says so, and tells how long it took. */
    JsonObject timed(Calls calls, JsonObject command) throws ReflectiveOperationException {
        Message request = request(Commands.bytes(command, "request"));
        long start = System.nanoTime();
        JsonObject answer = new JsonObject();
        try {
            Message response = Commands.has(command, "cancel_after_ms")
                    ? cancelled(calls, request, command.get("cancel_after_ms").getAsLong())
                    : call(calls, request);
            answer.addProperty("response", Commands.base64(response.toByteArray()));
        } catch (Throwable e) {
            answer = Failure.answer(e);
        }
        answer.addProperty("elapsed_ms", TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start));
        return answer;
    }

    private Message cancelled(Calls calls, Message request, long afterMs) throws Throwable {
        Future<?> response = (CompletableFuture<?>) async.invoke(calls, request);
        try {
            return (Message) response.get(afterMs, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            response.cancel(true);
            return (Message) response.get();
        } catch (ExecutionException e) {
            throw e.getCause();
        }
    }
}
