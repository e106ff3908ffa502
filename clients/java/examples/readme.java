import io.privyseal.PrivysealClient;
import io.privyseal.Tls;
import java.net.URI;
import java.net.http.*;
import java.nio.file.Path;

class Readme {
    public static void main(String[] arguments) throws Exception {
        Path tls = Path.of(System.getenv("PRIVYSEAL_TLS"));
        try (PrivysealClient privyseal = PrivysealClient.builder()
                .target(System.getenv("PRIVYSEAL_TARGET"))
                .tls(Tls.files(tls.resolve("ca.pem"), tls.resolve("client.pem"), tls.resolve("client-key.pem")))
                .build()) {
            HttpClient http = privyseal.httpClient("keys/whitebit-main", HttpClient.newHttpClient());
            HttpRequest request = HttpRequest.newBuilder()
                    .uri(URI.create(System.getenv("VENUE_URL") + "/api/v4/trade-account/balance"))
                    .POST(HttpRequest.BodyPublishers.noBody())
                    .build();
            System.out.println(http.send(request, HttpResponse.BodyHandlers.ofString()).body());
        }
    }
}
