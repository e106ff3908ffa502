package io.privyseal.conformance;

import com.google.gson.JsonObject;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.privyseal.Calls;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Many calls at once. */
final class Load {
    private Load() {}

    static JsonObject run(Calls calls, JsonObject command) throws ReflectiveOperationException, InterruptedException {
        Rpc rpc = Rpc.named(Commands.text(command, "rpc"));
        Message request = rpc.request(Commands.bytes(command, "request"));
        boolean fresh = Commands.has(command, "request_ids")
                && command.get("request_ids").getAsBoolean();
        AtomicInteger left = new AtomicInteger(command.get("count").getAsInt());
        AtomicInteger succeeded = new AtomicInteger();
        Map<String, Integer> failed = new TreeMap<>();
        int concurrency = command.get("concurrency").getAsInt();
        ExecutorService threads = Executors.newFixedThreadPool(concurrency);
        for (int i = 0; i < concurrency; i++) {
            threads.execute(() -> {
                while (left.getAndDecrement() > 0) {
                    try {
                        rpc.call(calls, fresh ? withId(request) : request);
                        succeeded.incrementAndGet();
                    } catch (Throwable e) {
                        synchronized (failed) {
                            failed.merge(Commands.text(Failure.error(e), "code"), 1, Integer::sum);
                        }
                    }
                }
            });
        }
        threads.shutdown();
        threads.awaitTermination(10, TimeUnit.MINUTES);
        JsonObject codes = new JsonObject();
        failed.forEach(codes::addProperty);
        JsonObject answer = new JsonObject();
        answer.addProperty("succeeded", succeeded.get());
        answer.add("failed", codes);
        return answer;
    }

    private static Message withId(Message request) {
        FieldDescriptor id = request.getDescriptorForType().findFieldByName("request_id");
        return request.toBuilder().setField(id, UUID.randomUUID().toString()).build();
    }
}
