package io.privyseal;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status.Code;
import io.privyseal.v1.ErrorReason;
import java.io.Serial;
import java.time.Duration;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/** A call that was refused, could not be made, ran out of time or was cancelled. */
public final class PrivysealException extends RuntimeException {
    @Serial
    private static final long serialVersionUID = 1L;

    private static final String DOMAIN = "privyseal";

    private final Code code;
    private final String reason;
    private final String text;
    private final HashMap<String, String> metadata;
    private final String field;
    private final Duration retryAfter;

    private PrivysealException(
            Code code, String text, ErrorInfo info, String field, Duration retryAfter, Throwable cause) {
        super(code + (info.getReason().isEmpty() ? "" : " (" + info.getReason() + ")") + ": " + text, cause);
        this.code = code;
        this.reason = info.getReason();
        this.text = text;
        this.metadata = new HashMap<>(info.getMetadataMap());
        this.field = field;
        this.retryAfter = retryAfter;
    }

    static PrivysealException local(Code code, String text, Throwable cause) {
        return new PrivysealException(code, text, ErrorInfo.getDefaultInstance(), "", null, cause);
    }

    /**
     * Returns what a status tells, as it stands in a {@code BatchSignResult} or a {@code WatchSessionResponse}.
     *
     * @param status a status that is not OK
     * @return the failure, not thrown
     */
    public static PrivysealException of(com.google.rpc.Status status) {
        ErrorInfo info = ErrorInfo.getDefaultInstance();
        String field = "";
        Duration retryAfter = null;
        for (Any detail : status.getDetailsList()) {
            try {
                if (detail.is(ErrorInfo.class)) {
                    ErrorInfo found = detail.unpack(ErrorInfo.class);
                    info = found.getDomain().equals(DOMAIN) ? found : info;
                } else if (detail.is(BadRequest.class)) {
                    BadRequest found = detail.unpack(BadRequest.class);
                    field = found.getFieldViolationsCount() == 0
                            ? ""
                            : found.getFieldViolations(0).getField();
                } else if (detail.is(RetryInfo.class)) {
                    var delay = detail.unpack(RetryInfo.class).getRetryDelay();
                    retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
                }
            } catch (InvalidProtocolBufferException | ArithmeticException e) {
                // A detail that can't be read tells nothing; code and message stand.
            }
        }
        Code code = io.grpc.Status.fromCodeValue(status.getCode()).getCode();
        return new PrivysealException(code, status.getMessage(), info, field, retryAfter, null);
    }

    /**
     * Returns the gRPC code.
     *
     * @return the code, never {@code OK}
     */
    public Code code() {
        return code;
    }

    /**
     * Returns why, as a value of the contract's {@code ErrorReason} without its prefix.
     *
     * @return such as {@code POLICY_DENIED}; empty where the server gave none, or was not reached; one that this
     *     release does not know is kept as it came
     */
    public String reason() {
        return reason;
    }

    /**
     * Returns why, for a {@code switch}.
     *
     * @return {@code ERROR_REASON_UNSPECIFIED} where there is none, {@code UNRECOGNIZED} where this release does not
     *     know it
     */
    public ErrorReason errorReason() {
        if (reason.isEmpty()) {
            return ErrorReason.ERROR_REASON_UNSPECIFIED;
        }
        try {
            return ErrorReason.valueOf("ERROR_REASON_" + reason);
        } catch (IllegalArgumentException e) {
            return ErrorReason.UNRECOGNIZED;
        }
    }

    /**
     * Returns what happened and what to do, for people; {@link #getMessage()} has code and reason before it.
     *
     * @return the server's message, or the client's own
     */
    public String message() {
        return text;
    }

    /**
     * Returns the facts that go with the reason, such as {@code key} or {@code venueMessage}.
     *
     * @return unmodifiable; empty where there are none
     */
    public Map<String, String> metadata() {
        return Collections.unmodifiableMap(metadata);
    }

    /**
     * Returns the field of the request that is wrong.
     *
     * @return such as {@code http_request.method}; empty where no field is
     */
    public String field() {
        return field;
    }

    /**
     * Returns how long to wait before the same is worth trying again.
     *
     * @return empty where the server did not say
     */
    public Optional<Duration> retryAfter() {
        return Optional.ofNullable(retryAfter);
    }

    /**
     * Tells whether the same request, with the same {@code request_id}, may be sent again: {@code UNAVAILABLE} or
     * {@code ABORTED}, and not {@code VENUE_OUTCOME_UNKNOWN}.
     *
     * @return whether the client itself would try again
     */
    public boolean isRetryable() {
        return (code == Code.UNAVAILABLE || code == Code.ABORTED) && !reason.equals("VENUE_OUTCOME_UNKNOWN");
    }
}
