package io.privyseal;

import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * TLS 1.3 from PEM files. They are read when the client is made, and again for each new connection; files that can't be
 * read or don't match leave the last good ones in force.
 */
public final class Tls {
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?");

    private final Path ca;
    private final Path certificate;
    private final Path privateKey;
    private final String serverName;

    private Tls(Path ca, Path certificate, Path privateKey, String serverName) {
        this.ca = ca;
        this.certificate = certificate;
        this.privateKey = privateKey;
        this.serverName = serverName;
    }

    /**
     * Trusts a CA and shows no certificate, for callers that prove themselves by a token.
     *
     * @param ca the CA of the server's certificate
     * @return the settings
     */
    public static Tls files(Path ca) {
        return new Tls(Objects.requireNonNull(ca, "ca"), null, null, null);
    }

    /**
     * Trusts a CA and shows a certificate (mTLS).
     *
     * @param ca the CA of the server's certificate
     * @param certificate the caller's certificate, with what chain it has
     * @param privateKey its private key, PKCS #8 ({@code BEGIN PRIVATE KEY}) without a password; EC or RSA, as a server
     *     that runs BoringSSL, like Privyseal's, takes no Ed25519
     * @return the settings
     */
    public static Tls files(Path ca, Path certificate, Path privateKey) {
        return new Tls(
                Objects.requireNonNull(ca, "ca"),
                Objects.requireNonNull(certificate, "certificate"),
                Objects.requireNonNull(privateKey, "privateKey"),
                null);
    }

    /**
     * Looks for another name than the target's host in the server's certificate.
     *
     * @param serverName a host name
     * @return the same settings with that name
     * @throws ConfigurationException when it is none
     */
    public Tls withServerName(String serverName) {
        if (!NAME.matcher(serverName).matches()) {
            throw new ConfigurationException(
                    "tls.serverName", "\"" + serverName + "\" is no host name; give one that the certificate has");
        }
        return new Tls(ca, certificate, privateKey, serverName);
    }

    Path ca() {
        return ca;
    }

    Optional<Path> certificate() {
        return Optional.ofNullable(certificate);
    }

    Optional<Path> privateKey() {
        return Optional.ofNullable(privateKey);
    }

    Optional<String> serverName() {
        return Optional.ofNullable(serverName);
    }

    @Override
    public String toString() {
        return "Tls[ca=" + ca
                + certificate().map(file -> ", certificate=" + file).orElse("")
                + serverName().map(name -> ", serverName=" + name).orElse("") + "]";
    }
}
