import io.privyseal.PrivysealClient;
import io.privyseal.Tls;
import java.io.IOException;
import java.math.BigDecimal;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Quotes a bid and an ask around a mid price at WhiteBIT, and cancels both, a few rounds long. */
class MarketMaker {
    private static final Pattern ORDER_ID = Pattern.compile("\"orderId\"\\s*:\\s*([0-9]+)");
    private static final String MARKET = "BTC_USDT";
    private static final BigDecimal HALF_SPREAD = new BigDecimal("10");

    private final HttpClient http;
    private final String venue;
    private int placed;
    private int cancelled;

    private MarketMaker(HttpClient http, String venue) {
        this.http = http;
        this.venue = venue;
    }

    public static void main(String[] arguments) {
        Path tls = Path.of(System.getenv("PRIVYSEAL_TLS"));
        int rounds = Integer.parseInt(
                Optional.ofNullable(System.getenv("ROUNDS")).orElse("3"));
        try (PrivysealClient privyseal = PrivysealClient.builder()
                .target(System.getenv("PRIVYSEAL_TARGET"))
                .tls(Tls.files(tls.resolve("ca.pem"), tls.resolve("client.pem"), tls.resolve("client-key.pem")))
                .build()) {
            HttpClient http = privyseal.httpClient("keys/whitebit-main", HttpClient.newHttpClient());
            MarketMaker maker = new MarketMaker(http, System.getenv("VENUE_URL"));
            for (int round = 0; round < rounds; round++) {
                maker.quote(new BigDecimal(40_000 + 5 * round));
            }
            System.out.println(maker.placed + " orders placed, " + maker.cancelled + " cancelled");
        } catch (IOException | RuntimeException e) {
            System.err.println("stopped: " + e.getMessage());
            System.exit(1);
        } catch (InterruptedException e) {
            System.exit(1);
        }
    }

    private void quote(BigDecimal mid) throws IOException, InterruptedException {
        List<String> orders = new ArrayList<>();
        orders.add(place("buy", mid.subtract(HALF_SPREAD)));
        orders.add(place("sell", mid.add(HALF_SPREAD)));
        for (String order : orders) {
            post("/api/v4/order/cancel", "{\"market\":\"" + MARKET + "\",\"orderId\":" + order + "}");
            cancelled++;
        }
    }

    private String place(String side, BigDecimal price) throws IOException, InterruptedException {
        String answer = post(
                "/api/v4/order/new",
                "{\"market\":\"" + MARKET + "\",\"side\":\"" + side + "\",\"amount\":\"0.010\",\"price\":\"" + price
                        + "\"}");
        Matcher id = ORDER_ID.matcher(answer);
        if (!id.find()) {
            throw new IOException("the venue's answer names no order: " + answer);
        }
        placed++;
        System.out.println(side + " 0.010 " + MARKET + " at " + price + ": order " + id.group(1));
        return id.group(1);
    }

    private String post(String path, String body) throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(URI.create(venue + path))
                .header("Content-Type", "application/json")
                .POST(BodyPublishers.ofString(body))
                .build();
        HttpResponse<String> response = http.send(request, BodyHandlers.ofString());
        if (response.statusCode() >= 400) {
            throw new IOException(path + ": HTTP " + response.statusCode() + " " + response.body());
        }
        return response.body();
    }
}
