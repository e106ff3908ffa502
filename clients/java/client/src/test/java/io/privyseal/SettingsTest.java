package io.privyseal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SettingsTest {
    private static final Tls NOWHERE = Tls.files(Path.of("nowhere", "ca.pem"));

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "signer.example",
                "signer.example:0",
                "signer.example:65536",
                "signer.example:x",
                ":7443",
                "::1:7443",
                "dns:///signer.example:7443",
                "https://signer.example:7443",
                "unix:relative.sock",
                "unix:///run/x.sock",
                "a b:1"
            })
    void refusesTargetsThatAreNone(String target) {
        refused("target", PrivysealClient.builder().target(target).tls(NOWHERE));
    }

    @ParameterizedTest
    @ValueSource(strings = {"192.0.2.1:7443", "signer.example:7443", "localhost.example:1", "[2001:db8::1]:7443"})
    void keepsPlaintextHere(String target) {
        refused("plaintext", PrivysealClient.builder().target(target).plaintext());
    }

    @ParameterizedTest
    @ValueSource(strings = {"localhost:7443", "127.8.9.1:7443", "[::1]:7443", "unix:/run/privyseal.sock"})
    void allowsPlaintextToThisHost(String target) {
        PrivysealClient.builder().target(target).plaintext().build().close();
    }

    @Test
    void refusesWhatContradictsItself() {
        PrivysealClient.Builder empty = PrivysealClient.builder();
        refused("target", empty.plaintext());
        refused("tls", PrivysealClient.builder().target("localhost:1"));
        refused(
                "plaintext",
                PrivysealClient.builder().target("localhost:1").plaintext().tls(NOWHERE));
        refused(
                "token",
                PrivysealClient.builder().target("localhost:1").plaintext().token(() -> "t"));
        refused("tls", PrivysealClient.builder().target("unix:/run/x.sock").tls(NOWHERE));
        refused(
                "target",
                PrivysealClient.builder()
                        .target("unix:/x")
                        .target("localhost:1")
                        .plaintext());
        refused(
                "maxAttempts",
                PrivysealClient.builder().target("localhost:1").plaintext().maxAttempts(0));
        refused(
                "timeout",
                PrivysealClient.builder().target("localhost:1").plaintext().timeout(Duration.ZERO));
        refused("tls.ca", PrivysealClient.builder().target("localhost:1").tls(NOWHERE));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "two words", "line\n", "-x", "https://x"})
    void refusesWhatIsNoServerName(String name) {
        assertThrows(ConfigurationException.class, () -> NOWHERE.withServerName(name));
    }

    @Test
    void showsNoToken() {
        Settings settings = new Settings(
                java.util.List.of(Target.parse("localhost:1")), NOWHERE, false, () -> "hush", Duration.ofSeconds(1), 4);
        assertTrue(settings.toString().contains("token"));
        assertEquals(-1, settings.toString().indexOf("hush"));
    }

    private static void refused(String setting, PrivysealClient.Builder builder) {
        assertEquals(
                setting,
                assertThrows(ConfigurationException.class, builder::build).setting());
    }
}
