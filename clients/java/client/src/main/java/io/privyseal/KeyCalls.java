package io.privyseal;

import io.privyseal.v1.DeleteKeyRequest;
import io.privyseal.v1.DeleteKeyResponse;
import io.privyseal.v1.DisableKeyRequest;
import io.privyseal.v1.DisableKeyResponse;
import io.privyseal.v1.EnableKeyRequest;
import io.privyseal.v1.EnableKeyResponse;
import io.privyseal.v1.GetKeyRequest;
import io.privyseal.v1.GetKeyResponse;
import io.privyseal.v1.GetSealingKeyRequest;
import io.privyseal.v1.GetSealingKeyResponse;
import io.privyseal.v1.ImportKeyRequest;
import io.privyseal.v1.ImportKeyResponse;
import io.privyseal.v1.KeyServiceGrpc;
import io.privyseal.v1.ListKeysRequest;
import io.privyseal.v1.ListKeysResponse;
import io.privyseal.v1.ResyncNonceRequest;
import io.privyseal.v1.ResyncNonceResponse;
import io.privyseal.v1.RotateKeyRequest;
import io.privyseal.v1.RotateKeyResponse;
import java.util.concurrent.CompletableFuture;

/** Look after keys: the RPCs of {@code KeyService}, for custodians. */
public interface KeyCalls extends UnaryCalls {
    /**
     * Returns a key's public facts.
     *
     * @param request what is asked
     * @return the key
     * @throws PrivysealException when it is refused or can't be reached
     */
    default GetKeyResponse getKey(GetKeyRequest request) {
        return call(KeyServiceGrpc.getGetKeyMethod(), request);
    }

    /**
     * As {@link #getKey}, without blocking.
     *
     * @param request what is asked
     * @return the key; fails with {@link PrivysealException}
     */
    default CompletableFuture<GetKeyResponse> getKeyAsync(GetKeyRequest request) {
        return callAsync(KeyServiceGrpc.getGetKeyMethod(), request);
    }

    /**
     * Returns a page of the keys that the caller may read.
     *
     * @param request what is asked
     * @return the page
     * @throws PrivysealException when it is refused or can't be reached
     */
    default ListKeysResponse listKeys(ListKeysRequest request) {
        return call(KeyServiceGrpc.getListKeysMethod(), request);
    }

    /**
     * As {@link #listKeys}, without blocking.
     *
     * @param request what is asked
     * @return the page; fails with {@link PrivysealException}
     */
    default CompletableFuture<ListKeysResponse> listKeysAsync(ListKeysRequest request) {
        return callAsync(KeyServiceGrpc.getListKeysMethod(), request);
    }

    /**
     * Writes a credential that exists already; it overwrites nothing. With a {@code request_id} it is tried
     * again.
     *
     * @param request what is asked
     * @return the public facts of the key
     * @throws PrivysealException when it is refused or can't be reached
     */
    default ImportKeyResponse importKey(ImportKeyRequest request) {
        return call(KeyServiceGrpc.getImportKeyMethod(), request);
    }

    /**
     * As {@link #importKey}, without blocking.
     *
     * @param request what is asked
     * @return the public facts of the key; fails with {@link PrivysealException}
     */
    default CompletableFuture<ImportKeyResponse> importKeyAsync(ImportKeyRequest request) {
        return callAsync(KeyServiceGrpc.getImportKeyMethod(), request);
    }

    /**
     * Returns the public key to which a secret is sealed before {@code ImportKey} or {@code RotateKey}.
     *
     * @param request what is asked
     * @return the public key
     * @throws PrivysealException when it is refused or can't be reached
     */
    default GetSealingKeyResponse getSealingKey(GetSealingKeyRequest request) {
        return call(KeyServiceGrpc.getGetSealingKeyMethod(), request);
    }

    /**
     * As {@link #getSealingKey}, without blocking.
     *
     * @param request what is asked
     * @return the public key; fails with {@link PrivysealException}
     */
    default CompletableFuture<GetSealingKeyResponse> getSealingKeyAsync(GetSealingKeyRequest request) {
        return callAsync(KeyServiceGrpc.getGetSealingKeyMethod(), request);
    }

    /**
     * Replaces a key's credential. With a {@code request_id} it is tried again.
     *
     * @param request what is asked
     * @return the public facts of the key
     * @throws PrivysealException when it is refused or can't be reached
     */
    default RotateKeyResponse rotateKey(RotateKeyRequest request) {
        return call(KeyServiceGrpc.getRotateKeyMethod(), request);
    }

    /**
     * As {@link #rotateKey}, without blocking.
     *
     * @param request what is asked
     * @return the public facts of the key; fails with {@link PrivysealException}
     */
    default CompletableFuture<RotateKeyResponse> rotateKeyAsync(RotateKeyRequest request) {
        return callAsync(KeyServiceGrpc.getRotateKeyMethod(), request);
    }

    /**
     * Stops a key from being used, until it is enabled.
     *
     * @param request what is asked
     * @return the public facts of the key
     * @throws PrivysealException when it is refused or can't be reached
     */
    default DisableKeyResponse disableKey(DisableKeyRequest request) {
        return call(KeyServiceGrpc.getDisableKeyMethod(), request);
    }

    /**
     * As {@link #disableKey}, without blocking.
     *
     * @param request what is asked
     * @return the public facts of the key; fails with {@link PrivysealException}
     */
    default CompletableFuture<DisableKeyResponse> disableKeyAsync(DisableKeyRequest request) {
        return callAsync(KeyServiceGrpc.getDisableKeyMethod(), request);
    }

    /**
     * Lets a disabled key be used again.
     *
     * @param request what is asked
     * @return the public facts of the key
     * @throws PrivysealException when it is refused or can't be reached
     */
    default EnableKeyResponse enableKey(EnableKeyRequest request) {
        return call(KeyServiceGrpc.getEnableKeyMethod(), request);
    }

    /**
     * As {@link #enableKey}, without blocking.
     *
     * @param request what is asked
     * @return the public facts of the key; fails with {@link PrivysealException}
     */
    default CompletableFuture<EnableKeyResponse> enableKeyAsync(EnableKeyRequest request) {
        return callAsync(KeyServiceGrpc.getEnableKeyMethod(), request);
    }

    /**
     * Puts a key's nonce counter right.
     *
     * @param request what is asked
     * @return the counter before and after
     * @throws PrivysealException when it is refused or can't be reached
     */
    default ResyncNonceResponse resyncNonce(ResyncNonceRequest request) {
        return call(KeyServiceGrpc.getResyncNonceMethod(), request);
    }

    /**
     * As {@link #resyncNonce}, without blocking.
     *
     * @param request what is asked
     * @return the counter before and after; fails with {@link PrivysealException}
     */
    default CompletableFuture<ResyncNonceResponse> resyncNonceAsync(ResyncNonceRequest request) {
        return callAsync(KeyServiceGrpc.getResyncNonceMethod(), request);
    }

    /**
     * Removes a key and all its versions for good.
     *
     * @param request what is asked
     * @return an empty answer
     * @throws PrivysealException when it is refused or can't be reached
     */
    default DeleteKeyResponse deleteKey(DeleteKeyRequest request) {
        return call(KeyServiceGrpc.getDeleteKeyMethod(), request);
    }

    /**
     * As {@link #deleteKey}, without blocking.
     *
     * @param request what is asked
     * @return an empty answer; fails with {@link PrivysealException}
     */
    default CompletableFuture<DeleteKeyResponse> deleteKeyAsync(DeleteKeyRequest request) {
        return callAsync(KeyServiceGrpc.getDeleteKeyMethod(), request);
    }
}
