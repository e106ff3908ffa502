package io.privyseal.conformance;

import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import io.privyseal.ConfigurationException;
import io.privyseal.NotSentException;
import io.privyseal.PrivysealException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Optional;
import java.util.concurrent.CancellationException;

/** A failure in the form of the runner's protocol. */
final class Failure {
    private Failure() {}

    static JsonObject answer(Throwable error) {
        JsonObject answer = new JsonObject();
        answer.add("error", error(error));
        return answer;
    }

    static JsonObject error(Throwable error) {
        JsonObject told = new JsonObject();
        Optional<PrivysealException> own = error instanceof NotSentException unsent
                ? unsent.failure()
                : Optional.of(error)
                        .filter(PrivysealException.class::isInstance)
                        .map(PrivysealException.class::cast);
        told.addProperty("code", own.map(e -> e.code().name()).orElseGet(() -> code(error)));
        told.addProperty("reason", own.map(PrivysealException::reason).orElse(""));
        told.addProperty("message", own.map(PrivysealException::message).orElse(error.getMessage()));
        JsonObject metadata = new JsonObject();
        own.ifPresent(e -> e.metadata().forEach(metadata::addProperty));
        told.add("metadata", metadata);
        told.addProperty("field", own.map(PrivysealException::field).orElse(""));
        told.add(
                "retry_after_ms",
                own.flatMap(PrivysealException::retryAfter)
                        .<com.google.gson.JsonElement>map(delay -> new JsonPrimitive(delay.toMillis()))
                        .orElse(JsonNull.INSTANCE));
        told.addProperty(
                "is_retryable", own.map(PrivysealException::isRetryable).orElse(false));
        StringWriter text = new StringWriter();
        error.printStackTrace(new PrintWriter(text));
        told.addProperty("text", text.toString());
        return told;
    }

    private static String code(Throwable error) {
        if (error instanceof ConfigurationException) {
            return "CONFIGURATION";
        }
        if (error instanceof NotSentException) {
            return "REFUSED";
        }
        if (error instanceof CancellationException || error instanceof InterruptedException) {
            return "CANCELLED";
        }
        return error instanceof IOException ? "HTTP" : "RUNNER";
    }
}
