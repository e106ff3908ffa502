import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { inspect } from "node:util";

import {
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";

import {
  SignRequest,
  type LoginRequest,
  type SignResponse,
} from "#client/gen/privyseal/v1/signing_service.js";
import {
  PrivysealClient,
  PrivysealError,
  VERSION,
  type ClientOptions,
  type TokenSource,
} from "@privyseal/client";

import { TestCa } from "./certificates.js";
import { directory, refusal, serve } from "./loopback.js";

type Sign = ServerUnaryCall<SignRequest, SignResponse>;
type Answer = sendUnaryData<unknown>;

const request = { key: "keys/a", httpRequest: { method: "GET", path: "/" } };

async function clientOf(
  sign: (call: Sign, answer: Answer) => void,
  options: Partial<ClientOptions> = {},
): Promise<PrivysealClient> {
  const { port } = await serve({ sign });
  return new PrivysealClient({
    target: `127.0.0.1:${port.toString()}`,
    plaintext: true,
    ...options,
  });
}

test("a retry sends the same bytes, and its wait is told by the server", async () => {
  const seen: string[] = [];
  const client = await clientOf((call, answer) => {
    seen.push(Buffer.from(SignRequest.encode(call.request).finish()).toString("hex"));
    if (seen.length < 3) {
      answer(refusal(status.UNAVAILABLE, "STATE_UNAVAILABLE", 1));
    } else {
      answer(null, { key: "keys/a", keyVersion: 2n ** 60n + 1n, algorithm: "", nonce: "" });
    }
  });

  const response = await client.sign({ ...request, requestId: "id" });

  assert.equal(response.keyVersion, 2n ** 60n + 1n);
  assert.equal(seen.length, 3);
  assert.equal(new Set(seen).size, 1);
  client.close();
});

test("what may not be tried again is not", async () => {
  let calls = 0;
  const count = async (
    failure: object,
    requestId: string,
    options?: Partial<ClientOptions>,
  ): Promise<number> => {
    calls = 0;
    const client = await clientOf((_, answer) => {
      calls += 1;
      answer(failure);
    }, options);
    await assert.rejects(client.sign({ ...request, requestId }), PrivysealError);
    client.close();
    return calls;
  };
  const busy = refusal(status.UNAVAILABLE, "STATE_UNAVAILABLE", 0);

  assert.equal(await count(busy, "id"), 4);
  assert.equal(await count(busy, ""), 1);
  assert.equal(await count(busy, "id", { maxAttempts: 1 }), 1);
  assert.equal(await count(refusal(status.UNAVAILABLE, "VENUE_OUTCOME_UNKNOWN", 0), "id"), 1);
  assert.equal(await count(refusal(status.RESOURCE_EXHAUSTED, "OVERLOADED", 0), "id"), 1);
  assert.equal(await count(refusal(status.UNAVAILABLE, "OVERLOADED", 60_000), "id"), 1);
});

test("the deadline covers all, and says so", async () => {
  const client = await clientOf(() => undefined);

  const start = performance.now();
  await assert.rejects(client.sign(request, { timeoutMs: 50 }), { code: "DEADLINE_EXCEEDED" });

  assert.ok(performance.now() - start < 1_000);
  client.close();
});

test("an aborted call ends at once, and the server hears of it", async () => {
  let heard: Promise<unknown> = Promise.resolve();
  const calling = new AbortController();
  const client = await clientOf((call) => {
    heard = once(call, "cancelled");
    calling.abort(new Error("enough"));
  });

  const failure: unknown = await client
    .sign(request, { signal: calling.signal })
    .catch((error: unknown) => error);

  assert.ok(failure instanceof PrivysealError);
  assert.equal(failure.code, "CANCELLED");
  assert.equal((failure.cause as Error).message, "enough");
  await heard;
  await assert.rejects(client.sign(request, { signal: calling.signal }), { code: "CANCELLED" });
  client.close();
});

test("aborting ends the wait between two attempts", async () => {
  const client = await clientOf((_, answer) => {
    answer(refusal(status.UNAVAILABLE, "STATE_UNAVAILABLE", 5_000));
  });

  const start = performance.now();
  const signal = AbortSignal.timeout(50);
  await assert.rejects(client.sign({ ...request, requestId: "id" }, { signal }), {
    code: "CANCELLED",
  });

  assert.ok(performance.now() - start < 1_000);
  client.close();
});

test("listeners of a signal that outlives its calls are taken off", async () => {
  const client = await clientOf((_, answer) => {
    answer(null, { key: "", keyVersion: 0n, algorithm: "", nonce: "" });
  });
  const { signal } = new AbortController();
  const warned: Error[] = [];
  process.on("warning", (warning) => warned.push(warning));

  for (let i = 0; i < 30; i += 1) {
    await client.sign(request, { signal });
  }
  await sleep(1);

  assert.deepEqual(warned, []);
  client.close();
});

test("no server: UNAVAILABLE without a reason, and what to look at", async () => {
  const client = new PrivysealClient({ target: "127.0.0.1:1", plaintext: true });

  await assert.rejects(client.sign(request), (error) => {
    assert.ok(error instanceof PrivysealError);
    assert.equal(error.code, "UNAVAILABLE");
    assert.equal(error.reason, "");
    assert.match(error.message, /127\.0\.0\.1:1.*check that the server runs.*ECONNREFUSED/);
    return true;
  });
  client.close();
});

test("of two targets the one that is up gets all calls, from the first on", async () => {
  const { port } = await serve({
    sign: (_: Sign, answer: Answer) => {
      answer(null, { key: "", keyVersion: 0n, algorithm: "", nonce: "" });
    },
  });
  const target = ["127.0.0.1:1", `localhost:${port.toString()}`];
  const client = new PrivysealClient({ target, plaintext: true, maxAttempts: 1 });

  for (let i = 0; i < 20; i += 1) {
    await client.sign(request);
  }
  client.close();
});

test("two targets that are up share the calls", async () => {
  const counts = [0, 0];
  const ports = await Promise.all(
    counts.map(async (_, i) => {
      const sign = (_call: Sign, answer: Answer): void => {
        counts[i] = (counts[i] ?? 0) + 1;
        answer(null, { key: "", keyVersion: 0n, algorithm: "", nonce: "" });
      };
      return (await serve({ sign })).port;
    }),
  );
  const target = ports.map((port) => `127.0.0.1:${port.toString()}`);
  const client = new PrivysealClient({ target, plaintext: true });
  await client.sign(request);
  await sleep(100);

  counts.fill(0);
  for (let i = 0; i < 10; i += 1) {
    await client.sign(request);
  }

  assert.deepEqual(counts, [5, 5]);
  client.close();
});

test("an address of another family that nobody listens at is passed over", async () => {
  const { port } = await serve({
    sign: (_: Sign, answer: Answer) => {
      answer(null, { key: "", keyVersion: 0n, algorithm: "", nonce: "" });
    },
  });
  const options = { plaintext: true, timeoutMs: 5_000 };
  const target = [`localhost:${port.toString()}`, `[::1]:${port.toString()}`];
  const client = new PrivysealClient({ target, ...options });

  await client.sign(request);

  client.close();
});

test("the user agent names client and version", async () => {
  let agent: unknown;
  const client = await clientOf((call, answer) => {
    [agent] = call.metadata.get("user-agent");
    answer(null, { key: "", keyVersion: 0n, algorithm: "", nonce: "" });
  });

  await client.sign(request);

  assert.ok(String(agent).startsWith(`privyseal-typescript/${VERSION} `));
  client.close();
});

test("an answer of more than 4 MiB is taken", async () => {
  const body = new Uint8Array(5 * 1_048_576);
  const client = await clientOf((_, answer) => {
    const signedHttpRequest = { method: "", url: "", headers: [], body };
    answer(null, { key: "", keyVersion: 0n, signedHttpRequest, algorithm: "", nonce: "" });
  });

  const { signedHttpRequest } = await client.sign(request);

  assert.equal(signedHttpRequest?.body.byteLength, body.byteLength);
  client.close();
});

test("a closed client refuses, and says that it is closed", async () => {
  const client = await clientOf(() => undefined);
  client.close();

  await assert.rejects(client.sign(request), { code: "CANCELLED", message: /closed/ });
  client.close();
});

test("printing a client, a door or an error shows nothing that was called with", async () => {
  const secrets = /s3cret|keys\/a/;
  const { port } = await serve({
    login: (call: ServerUnaryCall<LoginRequest, unknown>, answer: Answer) => {
      answer({ code: status.INTERNAL, details: "broken", metadata: call.metadata });
    },
  });
  const target = `127.0.0.1:${port.toString()}`;
  const client = new PrivysealClient({ target, plaintext: true });
  const shown = { showHidden: true, depth: 10 };

  const failure: unknown = await client
    .login({ key: "keys/a", options: { password: "s3cret" } })
    .catch((error: unknown) => error);

  assert.ok(failure instanceof PrivysealError);
  for (const object of [client, client.fetch("keys/a"), failure]) {
    assert.doesNotMatch(inspect(object, shown), secrets);
    assert.doesNotMatch(JSON.stringify([object]), secrets);
  }
  assert.match(inspect(client), new RegExp(target));
  client.close();
});

test("a call that the server cancels is UNAVAILABLE, and tried again by its id", async () => {
  let calls = 0;
  const client = await clientOf((_, answer) => {
    calls += 1;
    answer(calls === 2 ? null : { code: status.CANCELLED, details: "stopped" }, {
      key: "",
      keyVersion: 0n,
      algorithm: "",
      nonce: "",
    });
  });

  await assert.rejects(client.sign(request), {
    code: "UNAVAILABLE",
    reason: "",
    message: /the server at 127.* ended the call.*stopped/,
  });
  calls = 0;
  await client.sign({ ...request, requestId: "id" });

  assert.equal(calls, 2);
  client.close();
});

test("a token function that does wrong is UNAUTHENTICATED, and leaves nothing behind", async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", note);
  const wrongs: (() => unknown)[] = [
    () => {
      throw new Error("s3cret");
    },
    () => Promise.reject(new Error("s3cret")),
    () => undefined,
    () => 5,
    () => null,
    () => ({}),
    () => "two words",
  ];
  const tls = { ca: join(directory(), "ca.pem") };
  writeFileSync(tls.ca, new TestCa().certificate);

  for (const wrong of wrongs) {
    const token = wrong as TokenSource;
    const client = new PrivysealClient({ target: "localhost:1", tls, token, timeoutMs: 50 });
    for (const attempt of [client.sign(request), client.watchSession({ key: "keys/a" }).next()]) {
      const failure: unknown = await attempt.catch((error: unknown) => error);
      assert.ok(failure instanceof PrivysealError, String(wrong));
      assert.equal(failure.code, "UNAUTHENTICATED");
      assert.doesNotMatch(inspect(failure, { showHidden: true, depth: 10 }), /s3cret/);
    }
    client.close();
  }
  await sleep(100);

  process.off("unhandledRejection", note);
  assert.deepEqual(unhandled, []);
});

test("printing an answer hides sessions and signed requests, which stay what they are", async () => {
  const headers = [{ name: "X-Signed", value: "s3cret" }];
  const signedHttpRequest = { method: "GET", url: "https://v/?s3cret", headers, body: Buffer.of() };
  const signed = { key: "keys/a", keyVersion: 1n, algorithm: "", nonce: "", signedHttpRequest };
  const session = { key: "", token: "s3cret", headers, userId: "" };
  const { port } = await serve({
    sign: (_: unknown, answer: Answer) => {
      answer(null, signed);
    },
    batchSign: (_: unknown, answer: Answer) => {
      answer(null, { results: [{ response: signed, status: undefined }] });
    },
    login: (_: unknown, answer: Answer) => {
      answer(null, { session });
    },
    watchSession: (stream: ServerWritableStream<unknown, unknown>) => {
      stream.write({ session });
    },
  });
  const target = `127.0.0.1:${port.toString()}`;
  const client = new PrivysealClient({ target, plaintext: true });

  const answer = await client.sign(request);
  const watch = client.watchSession({ key: "keys/a" });
  const answers = [
    answer,
    await client.batchSign({ requests: [request] }),
    await client.login({ key: "keys/a" }),
    await watch.next(),
  ];

  assert.doesNotMatch(inspect(answers, { showHidden: true, depth: 10 }), /s3cret/);
  assert.equal(answer.signedHttpRequest?.headers[0]?.value, "s3cret");
  assert.deepEqual(Object.keys(answer.signedHttpRequest), ["method", "url", "headers", "body"]);
  watch.close();
  client.close();
});
