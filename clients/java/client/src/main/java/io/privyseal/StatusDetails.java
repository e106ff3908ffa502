package io.privyseal;

import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.Optional;

/** The details that a failed RPC carries beside its code. */
final class StatusDetails {
    private static final Metadata.Key<byte[]> DETAILS =
            Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

    private StatusDetails() {}

    /** Returns the status with its details, if there are any that can be read and are of this very failure. */
    static Optional<com.google.rpc.Status> read(Status status, Metadata trailers) {
        byte[] details = trailers == null ? null : trailers.get(DETAILS);
        if (details == null) {
            return Optional.empty();
        }
        try {
            com.google.rpc.Status found = com.google.rpc.Status.parseFrom(details);
            return Optional.of(found)
                    .filter(f -> f.getCode() == status.getCode().value());
        } catch (InvalidProtocolBufferException e) {
            return Optional.empty();
        }
    }
}
