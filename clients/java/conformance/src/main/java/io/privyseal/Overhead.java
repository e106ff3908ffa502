package io.privyseal;

import com.google.gson.JsonObject;
import io.privyseal.v1.SignRequest;
import io.privyseal.v1.SigningServiceGrpc;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;

/** Compares the client with the generated stub; in the client's package, to have a channel of the same settings. */
public final class Overhead {
    private Overhead() {}

    /** Returns the medians of a Sign's time, in microseconds, of both in turns in this thread. */
    public static JsonObject measure(PrivysealClient client, SignRequest request, int count) {
        try (Connection connection = new Connection(client.settings())) {
            var stub = SigningServiceGrpc.newBlockingStub(connection.channel());
            double[] ofClient = new double[count];
            double[] ofStub = new double[count];
            for (int i = 0; i < count; i++) {
                ofClient[i] = micros(() -> client.sign(request));
                ofStub[i] = micros(() -> stub.withDeadlineAfter(10, TimeUnit.SECONDS)
                        .withCallCredentials(connection.options().getCredentials())
                        .sign(request));
            }
            JsonObject answer = new JsonObject();
            answer.addProperty("client_us", median(ofClient));
            answer.addProperty("stub_us", median(ofStub));
            return answer;
        }
    }

    private static double micros(Runnable call) {
        long start = System.nanoTime();
        call.run();
        return (System.nanoTime() - start) / 1_000.0;
    }

    private static double median(double[] values) {
        Arrays.sort(values);
        return values[values.length / 2];
    }
}
