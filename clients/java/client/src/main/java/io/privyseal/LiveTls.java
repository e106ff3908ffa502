package io.privyseal;

import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.netty.buffer.ByteBufAllocator;
import io.grpc.netty.shaded.io.netty.handler.ssl.ApplicationProtocolNegotiator;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslContext;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslContextBuilder;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslProvider;
import java.nio.file.Path;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSessionContext;

/**
 * The TLS of the connection that is opened next: the files are read for each, and the last good ones stand in for those
 * that can't be right. Other files mean another context, so that no session of the old certificate is resumed.
 */
final class LiveTls extends SslContext {
    private final Tls tls;
    private PemFiles files;
    private SslContext inForce;
    private Instant certificateEnd;
    private String complaint;

    LiveTls(Tls tls) {
        this.tls = tls;
        use(PemFiles.read(tls));
    }

    /** What may be wrong with the files, for the message of a connection that failed. */
    synchronized Optional<String> complaint() {
        if (complaint != null) {
            return Optional.of("the last good files are in force, since " + complaint);
        }
        return Optional.ofNullable(certificateEnd)
                .filter(end -> end.isBefore(Instant.now()))
                .map(end -> tls.certificate().orElseThrow() + " expired at " + end);
    }

    private synchronized SslContext current() {
        try {
            PemFiles found = PemFiles.read(tls);
            if (!found.isSame(files)) {
                use(found);
            }
            complaint = null;
        } catch (ConfigurationException e) {
            complaint = e.getMessage();
        }
        return inForce;
    }

    private void use(PemFiles found) {
        SslContextBuilder builder = SslContextBuilder.forClient()
                .sslProvider(SslProvider.JDK)
                .protocols("TLSv1.3")
                .trustManager(found.trusted(tls.ca()));
        Instant end = null;
        if (found.isMutual()) {
            Path file = tls.certificate().orElseThrow();
            X509Certificate[] chain = found.chain(file);
            PrivateKey key = found.key(tls.privateKey().orElseThrow(), chain[0]);
            builder.keyManager(key, chain);
            end = chain[0].getNotAfter().toInstant();
        }
        try {
            inForce = GrpcSslContexts.configure(builder, SslProvider.JDK).build();
        } catch (SSLException | IllegalArgumentException e) {
            throw new ConfigurationException(
                    "tls",
                    "this Java can't use the files for TLS 1.3; look whether each certificate of the chain is signed by the next",
                    e);
        }
        files = found;
        certificateEnd = end;
    }

    synchronized SslContext inForce() {
        return inForce;
    }

    @Override
    public boolean isClient() {
        return true;
    }

    @Override
    public List<String> cipherSuites() {
        return inForce().cipherSuites();
    }

    @Override
    @SuppressWarnings("deprecation") // Netty's own signature, which there is no other of.
    public ApplicationProtocolNegotiator applicationProtocolNegotiator() {
        return inForce().applicationProtocolNegotiator();
    }

    @Override
    public SSLEngine newEngine(ByteBufAllocator allocator) {
        return current().newEngine(allocator);
    }

    @Override
    public SSLEngine newEngine(ByteBufAllocator allocator, String host, int port) {
        return current().newEngine(allocator, host, port);
    }

    @Override
    public SSLSessionContext sessionContext() {
        return inForce().sessionContext();
    }

    @Override
    public String toString() {
        return tls.toString();
    }
}
