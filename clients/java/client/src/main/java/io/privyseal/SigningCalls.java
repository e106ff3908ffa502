package io.privyseal;

import io.privyseal.v1.BatchSignRequest;
import io.privyseal.v1.BatchSignResponse;
import io.privyseal.v1.CreateKeyRequest;
import io.privyseal.v1.CreateKeyResponse;
import io.privyseal.v1.LoginRequest;
import io.privyseal.v1.LoginResponse;
import io.privyseal.v1.LogoutRequest;
import io.privyseal.v1.LogoutResponse;
import io.privyseal.v1.ReportAnswerRequest;
import io.privyseal.v1.ReportAnswerResponse;
import io.privyseal.v1.SignRequest;
import io.privyseal.v1.SignResponse;
import io.privyseal.v1.SigningServiceGrpc;
import java.util.concurrent.CompletableFuture;

/** Sign, log in, report, create keys: the unary RPCs of {@code SigningService}. */
public interface SigningCalls extends UnaryCalls {
    /**
     * Signs a venue request, a message or a typed document. With a {@code request_id} it is tried again (see {@link UnaryCalls}).
     *
     * @param request what is asked
     * @return the final bytes to send, or the signature
     * @throws PrivysealException when it is refused or can't be reached
     */
    default SignResponse sign(SignRequest request) {
        return call(SigningServiceGrpc.getSignMethod(), request);
    }

    /**
     * As {@link #sign}, without blocking.
     *
     * @param request what is asked
     * @return the final bytes to send, or the signature; fails with {@link PrivysealException}
     */
    default CompletableFuture<SignResponse> signAsync(SignRequest request) {
        return callAsync(SigningServiceGrpc.getSignMethod(), request);
    }

    /**
     * Signs up to 1000 requests in order. Each result has a status of its own, which
     * {@link PrivysealException#of(com.google.rpc.Status)} turns into an exception.
     *
     * @param request what is asked
     * @return as many results as there were requests
     * @throws PrivysealException when it is refused or can't be reached
     */
    default BatchSignResponse batchSign(BatchSignRequest request) {
        return call(SigningServiceGrpc.getBatchSignMethod(), request);
    }

    /**
     * As {@link #batchSign}, without blocking.
     *
     * @param request what is asked
     * @return as many results as there were requests; fails with {@link PrivysealException}
     */
    default CompletableFuture<BatchSignResponse> batchSignAsync(BatchSignRequest request) {
        return callAsync(SigningServiceGrpc.getBatchSignMethod(), request);
    }

    /**
     * Returns the key's session at its venue, and opens one where there is none.
     *
     * @param request what is asked
     * @return the session; its token is a credential
     * @throws PrivysealException when it is refused or can't be reached
     */
    default LoginResponse login(LoginRequest request) {
        return call(SigningServiceGrpc.getLoginMethod(), request);
    }

    /**
     * As {@link #login}, without blocking.
     *
     * @param request what is asked
     * @return the session; its token is a credential; fails with {@link PrivysealException}
     */
    default CompletableFuture<LoginResponse> loginAsync(LoginRequest request) {
        return callAsync(SigningServiceGrpc.getLoginMethod(), request);
    }

    /**
     * Ends the key's session; succeeds when there is none.
     *
     * @param request what is asked
     * @return an empty answer
     * @throws PrivysealException when it is refused or can't be reached
     */
    default LogoutResponse logout(LogoutRequest request) {
        return call(SigningServiceGrpc.getLogoutMethod(), request);
    }

    /**
     * As {@link #logout}, without blocking.
     *
     * @param request what is asked
     * @return an empty answer; fails with {@link PrivysealException}
     */
    default CompletableFuture<LogoutResponse> logoutAsync(LogoutRequest request) {
        return callAsync(SigningServiceGrpc.getLogoutMethod(), request);
    }

    /**
     * Tells what the venue answered to a signed request, so that nonces and sessions are put right. The
     * native doors do this by themselves.
     *
     * @param request what is asked
     * @return what the answer means
     * @throws PrivysealException when it is refused or can't be reached
     */
    default ReportAnswerResponse reportAnswer(ReportAnswerRequest request) {
        return call(SigningServiceGrpc.getReportAnswerMethod(), request);
    }

    /**
     * As {@link #reportAnswer}, without blocking.
     *
     * @param request what is asked
     * @return what the answer means; fails with {@link PrivysealException}
     */
    default CompletableFuture<ReportAnswerResponse> reportAnswerAsync(ReportAnswerRequest request) {
        return callAsync(SigningServiceGrpc.getReportAnswerMethod(), request);
    }

    /**
     * Makes a key that goes straight into the secret store. With a {@code request_id} it is tried again.
     *
     * @param request what is asked
     * @return the public facts of the new key
     * @throws PrivysealException when it is refused or can't be reached
     */
    default CreateKeyResponse createKey(CreateKeyRequest request) {
        return call(SigningServiceGrpc.getCreateKeyMethod(), request);
    }

    /**
     * As {@link #createKey}, without blocking.
     *
     * @param request what is asked
     * @return the public facts of the new key; fails with {@link PrivysealException}
     */
    default CompletableFuture<CreateKeyResponse> createKeyAsync(CreateKeyRequest request) {
        return callAsync(SigningServiceGrpc.getCreateKeyMethod(), request);
    }
}
