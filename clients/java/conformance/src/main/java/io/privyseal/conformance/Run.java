package io.privyseal.conformance;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** Does what standard input says, a JSON object a line, and answers on standard output. */
final class Run {
    private static final Gson GSON = new GsonBuilder().serializeNulls().create();

    private Run() {}

    public static void main(String[] arguments) throws IOException, InterruptedException {
        PrintStream out = System.out;
        System.setOut(System.err);
        Commands commands = new Commands();
        ExecutorService threads = Executors.newCachedThreadPool();
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonObject command = GSON.fromJson(line, JsonObject.class);
            threads.execute(() -> {
                JsonObject answer = commands.answer(command);
                answer.add("id", command.get("id"));
                byte[] text = (GSON.toJson(answer) + "\n").getBytes(StandardCharsets.UTF_8);
                synchronized (out) {
                    out.write(text, 0, text.length);
                    out.flush();
                }
            });
        }
        threads.shutdown();
        threads.awaitTermination(10, TimeUnit.SECONDS);
        commands.close();
        System.exit(0);
    }
}
