package io.privyseal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;
import io.grpc.Status.Code;
import io.privyseal.v1.ErrorReason;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.util.Map;
import org.junit.jupiter.api.Test;

class PrivysealExceptionTest {
    @Test
    void readsDetails() {
        PrivysealException failure = PrivysealException.of(status("privyseal", "FIELD_INVALID")
                .addDetails(Any.pack(BadRequest.newBuilder()
                        .addFieldViolations(
                                BadRequest.FieldViolation.newBuilder().setField("http_request.method"))
                        .build()))
                .build());
        assertEquals(Code.INVALID_ARGUMENT, failure.code());
        assertEquals("FIELD_INVALID", failure.reason());
        assertEquals(ErrorReason.ERROR_REASON_FIELD_INVALID, failure.errorReason());
        assertEquals("http_request.method", failure.field());
        assertEquals(Map.of("k", "v"), failure.metadata());
        assertEquals("what to do", failure.message());
        assertEquals("INVALID_ARGUMENT (FIELD_INVALID): what to do", failure.getMessage());
        assertTrue(failure.retryAfter().isEmpty());
        assertFalse(failure.isRetryable());
    }

    @Test
    void keepsUnknownReasons() {
        PrivysealException failure =
                PrivysealException.of(status("privyseal", "OF_THE_FUTURE").build());
        assertEquals("OF_THE_FUTURE", failure.reason());
        assertEquals(ErrorReason.UNRECOGNIZED, failure.errorReason());
    }

    @Test
    void takesNoReasonOfOthers() {
        PrivysealException failure =
                PrivysealException.of(status("proxy.example", "HELD").build());
        assertEquals("", failure.reason());
        assertEquals(ErrorReason.ERROR_REASON_UNSPECIFIED, failure.errorReason());
    }

    @Test
    void bearsDetailsThatCannotBeRead() {
        Any broken = Any.pack(ErrorInfo.getDefaultInstance()).toBuilder()
                .setValue(ByteString.copyFrom(new byte[] {(byte) 0xff}))
                .build();
        Status status = Status.newBuilder().setCode(14).addDetails(broken).build();
        assertEquals(Code.UNAVAILABLE, PrivysealException.of(status).code());
    }

    @Test
    void canBeSerialized() throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(PrivysealException.of(status("privyseal", "HELD").build()));
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            PrivysealException read = (PrivysealException) in.readObject();
            assertEquals("HELD", read.reason());
            assertEquals(Map.of("k", "v"), read.metadata());
        }
    }

    private static Status.Builder status(String domain, String reason) {
        return Status.newBuilder()
                .setCode(Code.INVALID_ARGUMENT.value())
                .setMessage("what to do")
                .addDetails(Any.pack(ErrorInfo.newBuilder()
                        .setDomain(domain)
                        .setReason(reason)
                        .putMetadata("k", "v")
                        .build()));
    }
}
