package io.privyseal;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.util.Base64;
import java.util.List;

/** Makes self-signed certificates, which are their own CA, with the JDK's own tool. */
record KeyTool(Path certificate, Path privateKey) {
    static KeyTool make(Path folder, String name) throws IOException, InterruptedException, GeneralSecurityException {
        return make(folder, name, "EC", "-1d");
    }

    static KeyTool make(Path folder, String name, String algorithm, String start)
            throws IOException, InterruptedException, GeneralSecurityException {
        Path store = folder.resolve(name + ".p12");
        Process tool = new ProcessBuilder(List.of(
                        Path.of(System.getProperty("java.home"), "bin", "keytool")
                                .toString(),
                        "-genkeypair",
                        "-keyalg",
                        algorithm,
                        "-dname",
                        "CN=" + name,
                        "-ext",
                        "san=dns:localhost,ip:127.0.0.1",
                        "-startdate",
                        start,
                        "-validity",
                        "2",
                        "-storetype",
                        "PKCS12",
                        "-storepass",
                        "changeit",
                        "-alias",
                        "own",
                        "-keystore",
                        store.toString()))
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        if (tool.waitFor() != 0) {
            throw new IOException("keytool failed");
        }
        KeyStore keys = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(store)) {
            keys.load(in, "changeit".toCharArray());
        }
        KeyTool made = new KeyTool(folder.resolve(name + ".pem"), folder.resolve(name + "-key.pem"));
        write(made.certificate, "CERTIFICATE", keys.getCertificate("own").getEncoded());
        write(
                made.privateKey,
                "PRIVATE KEY",
                keys.getKey("own", "changeit".toCharArray()).getEncoded());
        return made;
    }

    void copyTo(KeyTool other) throws IOException {
        Files.writeString(other.certificate, Files.readString(certificate));
        Files.writeString(other.privateKey, Files.readString(privateKey));
    }

    private static void write(Path file, String kind, byte[] der) throws IOException {
        String text = Base64.getMimeEncoder(64, "\n".getBytes()).encodeToString(der);
        Files.writeString(file, "-----BEGIN " + kind + "-----\n" + text + "\n-----END " + kind + "-----\n");
    }
}
