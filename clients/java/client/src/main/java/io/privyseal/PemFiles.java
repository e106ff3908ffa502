package io.privyseal;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What the files of {@link Tls} hold at one moment. */
record PemFiles(byte[] ca, byte[] certificate, byte[] privateKey) {
    private static final Pattern PKCS8 =
            Pattern.compile("-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\\s]+)-----END PRIVATE KEY-----");
    private static final Pattern CERTIFICATE =
            Pattern.compile("-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\\s]+)-----END CERTIFICATE-----");
    private static final byte[] PROBE = "privyseal".getBytes(US_ASCII);

    static PemFiles read(Tls tls) {
        if (tls.certificate().isPresent() != tls.privateKey().isPresent()) {
            throw new ConfigurationException("tls", "give both a certificate and a private key, or neither");
        }
        return new PemFiles(
                read("tls.ca", tls.ca()),
                tls.certificate().map(file -> read("tls.certificate", file)).orElse(null),
                tls.privateKey().map(file -> read("tls.privateKey", file)).orElse(null));
    }

    boolean isMutual() {
        return certificate != null;
    }

    boolean isSame(PemFiles other) {
        return Arrays.equals(ca, other.ca)
                && Arrays.equals(certificate, other.certificate)
                && Arrays.equals(privateKey, other.privateKey);
    }

    X509Certificate[] trusted(Path file) {
        return certificates("tls.ca", file, ca);
    }

    X509Certificate[] chain(Path file) {
        return certificates("tls.certificate", file, certificate);
    }

    /** Returns the private key, if it is that of the certificate. */
    PrivateKey key(Path file, X509Certificate owner) {
        Matcher pem = PKCS8.matcher(new String(privateKey, ISO_8859_1));
        if (!pem.find()) {
            throw new ConfigurationException(
                    "tls.privateKey",
                    file + " holds no BEGIN PRIVATE KEY; for another form: openssl pkcs8 -topk8 -nocrypt -in " + file);
        }
        String algorithm = owner.getPublicKey().getAlgorithm();
        try {
            byte[] der = Base64.getMimeDecoder().decode(pem.group(1));
            PrivateKey key = KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(der));
            if (isOf(key, owner.getPublicKey(), algorithm)) {
                return key;
            }
        } catch (InvalidKeySpecException | IllegalArgumentException e) {
            // Not chained: such a text may quote the file.
        } catch (GeneralSecurityException e) {
            throw new ConfigurationException("tls.privateKey", algorithm + " keys can't be used here; take EC or RSA");
        }
        throw new ConfigurationException(
                "tls.privateKey", file + " is not the key of the certificate; renew both files together");
    }

    private static boolean isOf(PrivateKey key, PublicKey owner, String algorithm) throws GeneralSecurityException {
        Signature signature = Signature.getInstance(
                switch (algorithm) {
                    case "EC" -> "SHA256withECDSA";
                    case "RSA" -> "SHA256withRSA";
                    default -> algorithm;
                });
        signature.initSign(key);
        signature.update(PROBE);
        byte[] proof = signature.sign();
        signature.initVerify(owner);
        signature.update(PROBE);
        return signature.verify(proof);
    }

    private static X509Certificate[] certificates(String setting, Path file, byte[] pem) {
        List<X509Certificate> found = new ArrayList<>();
        try {
            CertificateFactory factory = CertificateFactory.getInstance("X.509");
            // One by one, as the file may hold text, or a private key, beside them.
            for (Matcher block = CERTIFICATE.matcher(new String(pem, ISO_8859_1)); block.find(); ) {
                byte[] der = Base64.getMimeDecoder().decode(block.group(1));
                found.add((X509Certificate) factory.generateCertificate(new ByteArrayInputStream(der)));
            }
        } catch (GeneralSecurityException | IllegalArgumentException e) {
            throw new ConfigurationException(setting, file + " holds a certificate that can't be read; renew it");
        }
        if (found.isEmpty()) {
            throw new ConfigurationException(setting, file + " holds no certificate in PEM; check the path");
        }
        return found.toArray(X509Certificate[]::new);
    }

    private static byte[] read(String setting, Path file) {
        try {
            return Files.readAllBytes(file);
        } catch (IOException e) {
            throw new ConfigurationException(
                    setting, file + " can't be read; check that it is there and who may read it", e);
        }
    }

    @Override
    public String toString() {
        return "PemFiles[hidden]";
    }
}
