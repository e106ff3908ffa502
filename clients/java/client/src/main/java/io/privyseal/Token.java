package io.privyseal;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.concurrent.Executor;
import java.util.function.Supplier;
import java.util.regex.Pattern;

/** The bearer token that goes with each RPC. */
final class Token extends CallCredentials {
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private static final Pattern VISIBLE = Pattern.compile("[\\x21-\\x7e]+");

    private final Supplier<String> source;

    Token(Supplier<String> source) {
        this.source = source;
    }

    @Override
    public void applyRequestMetadata(RequestInfo request, Executor executor, MetadataApplier applier) {
        executor.execute(() -> {
            String token;
            try {
                token = source.get();
            } catch (Throwable e) {
                // Also what is no RuntimeException: else the RPC would wait for its deadline.
                applier.fail(Status.UNAUTHENTICATED
                        .withDescription("the function given as token failed; its own error is the cause")
                        .withCause(e));
                return;
            }
            if (token == null || !VISIBLE.matcher(token).matches()) {
                applier.fail(Status.UNAUTHENTICATED.withDescription(
                        "the token is empty or no single line of visible ASCII; check where it comes from"));
                return;
            }
            Metadata headers = new Metadata();
            headers.put(AUTHORIZATION, "Bearer " + token);
            applier.apply(headers);
        });
    }

    @Override
    public String toString() {
        return "Token[hidden]";
    }
}
