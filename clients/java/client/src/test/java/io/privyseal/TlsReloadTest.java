package io.privyseal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Metadata;
import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.netty.handler.ssl.ClientAuth;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslContext;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslContextBuilder;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslProvider;
import io.privyseal.v1.SignRequest;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(20)
class TlsReloadTest {
    @TempDir
    static Path folder;

    private static KeyTool server;
    private static KeyTool first;
    private static KeyTool second;

    @BeforeAll
    static void makeCertificates() throws Exception {
        server = KeyTool.make(folder, "server");
        first = KeyTool.make(folder, "first");
        second = KeyTool.make(folder, "second", "RSA", "-1d");
    }

    @Test
    void newConnectionsTakeNewFiles() throws Exception {
        KeyTool used = new KeyTool(folder.resolve("used.pem"), folder.resolve("used-key.pem"));
        first.copyTo(used);
        PrivysealClient client;
        int port;
        try (LoopbackServer trustsFirst = new LoopbackServer(0, trusting(first))) {
            port = trustsFirst.port();
            client = client(port, Tls.files(server.certificate(), used.certificate(), used.privateKey()));
            client.sign(SignRequest.getDefaultInstance());
        }
        try (client;
                LoopbackServer trustsSecond = new LoopbackServer(port, trusting(second))) {
            assertThrows(PrivysealException.class, () -> client.sign(SignRequest.getDefaultInstance()));
            second.copyTo(used);
            while (trustsSecond.requests.isEmpty()) {
                signIfItGoes(client);
            }
        }
    }

    @Test
    void brokenFilesLeaveTheLastInForce() throws Exception {
        KeyTool used = new KeyTool(folder.resolve("torn.pem"), folder.resolve("torn-key.pem"));
        first.copyTo(used);
        Tls tls = Tls.files(server.certificate(), used.certificate(), used.privateKey());
        LiveTls live = new LiveTls(tls);
        assertTrue(live.complaint().isEmpty());
        SslContext before = contextOf(live);
        Files.writeString(used.certificate(), Files.readString(second.certificate()));
        assertEquals(before, contextOf(live));
        assertTrue(live.complaint().orElseThrow().contains("is not the key of the certificate"));
        Files.writeString(used.privateKey(), "no PEM");
        assertEquals(before, contextOf(live));
        Files.delete(used.privateKey());
        assertEquals(before, contextOf(live));
        second.copyTo(used);
        assertFalse(before.equals(contextOf(live)));
        assertTrue(live.complaint().isEmpty());
    }

    @Test
    void findsCertificatesAndKeyBesideOtherThings() throws Exception {
        Path both = folder.resolve("both.pem");
        Files.writeString(
                both,
                "\uFEFFBag Attributes: -\r\n"
                        + Files.readString(first.privateKey()).replace("\n", "\r\n")
                        + "# the chain\n"
                        + Files.readString(first.certificate())
                        + Files.readString(second.certificate()));
        PemFiles files = PemFiles.read(Tls.files(both, both, both));
        assertEquals(2, files.chain(both).length);
        assertEquals(2, files.trusted(both).length);
        assertEquals("EC", files.key(both, files.chain(both)[0]).getAlgorithm());
    }

    @Test
    void saysThatTheCertificateExpired() throws Exception {
        KeyTool old = KeyTool.make(folder, "old", "EC", "-3d");
        LiveTls live = new LiveTls(Tls.files(server.certificate(), old.certificate(), old.privateKey()));
        assertTrue(live.complaint().orElseThrow().contains("old.pem expired at"));
    }

    @Test
    void namesTheFileAndNotItsContent() throws Exception {
        Path secret = folder.resolve("secret.pem");
        Files.writeString(secret, "-----BEGIN PRIVATE KEY-----\nAAAAhushhush\n-----END PRIVATE KEY-----\n");
        Tls tls = Tls.files(server.certificate(), first.certificate(), secret);
        ConfigurationException error = assertThrows(ConfigurationException.class, () -> client(1, tls));
        assertEquals("tls.privateKey", error.setting());
        assertTrue(error.getMessage().contains("secret.pem"));
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            assertFalse(cause.toString().contains("hush"));
        }
    }

    @Test
    void sendsTokensOverTls() throws Exception {
        try (LoopbackServer trusting = new LoopbackServer(0, trusting(null));
                PrivysealClient client = PrivysealClient.builder()
                        .target(trusting.target())
                        .tls(Tls.files(server.certificate()))
                        .token(() -> "abc")
                        .build()) {
            client.sign(SignRequest.getDefaultInstance());
            Metadata.Key<String> authorization = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
            assertEquals("Bearer abc", trusting.metadata.get(0).get(authorization));
            assertFalse(client.toString().contains("abc"));
        }
    }

    @Test
    void failsWhereTheTokenCannotBeHad() throws Exception {
        try (LoopbackServer trusting = new LoopbackServer(0, trusting(null))) {
            for (String token : new String[] {"", "two\nlines", null}) {
                try (PrivysealClient client = PrivysealClient.builder()
                        .target(trusting.target())
                        .tls(Tls.files(server.certificate()))
                        .token(() -> token)
                        .build()) {
                    PrivysealException error =
                            assertThrows(PrivysealException.class, () -> client.sign(SignRequest.getDefaultInstance()));
                    assertEquals(io.grpc.Status.Code.UNAUTHENTICATED, error.code());
                    assertFalse(error.toString().contains("two"));
                }
            }
            assertTrue(trusting.requests.isEmpty());
        }
    }

    @Test
    void failsAtOnceWhereTheTokensFunctionBreaks() throws Exception {
        try (LoopbackServer trusting = new LoopbackServer(0, trusting(null));
                PrivysealClient client = PrivysealClient.builder()
                        .target(trusting.target())
                        .tls(Tls.files(server.certificate()))
                        .token(() -> {
                            throw new AssertionError("no exception of the usual kind");
                        })
                        .build()) {
            PrivysealException error =
                    assertThrows(PrivysealException.class, () -> client.sign(SignRequest.getDefaultInstance()));
            assertEquals(io.grpc.Status.Code.UNAUTHENTICATED, error.code());
        }
    }

    private static void signIfItGoes(PrivysealClient client) throws InterruptedException {
        try {
            client.sign(SignRequest.getDefaultInstance());
        } catch (PrivysealException e) {
            Thread.sleep(20);
        }
    }

    private static SslContext contextOf(LiveTls live) {
        live.newEngine(io.grpc.netty.shaded.io.netty.buffer.UnpooledByteBufAllocator.DEFAULT);
        return live.inForce();
    }

    private static PrivysealClient client(int port, Tls tls) {
        return PrivysealClient.builder().target("127.0.0.1:" + port).tls(tls).build();
    }

    private static SslContext trusting(KeyTool client) throws Exception {
        SslContextBuilder builder = SslContextBuilder.forServer(
                server.certificate().toFile(), server.privateKey().toFile());
        if (client != null) {
            builder.trustManager(client.certificate().toFile()).clientAuth(ClientAuth.REQUIRE);
        }
        return GrpcSslContexts.configure(builder, SslProvider.JDK).build();
    }
}
