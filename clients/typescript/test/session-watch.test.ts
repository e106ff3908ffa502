import assert from "node:assert/strict";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";

import { status, type ServerWritableStream } from "@grpc/grpc-js";

import {
  WatchSessionResponse,
  type WatchSessionRequest,
} from "#client/gen/privyseal/v1/signing_service.js";
import { PrivysealClient, PrivysealError, type Init } from "@privyseal/client";

import { refusal, serve, statusOf } from "./loopback.js";

type Stream = ServerWritableStream<WatchSessionRequest, WatchSessionResponse>;

const session = (token: string, seconds = 0n): Init<WatchSessionResponse> => ({
  session: { key: "keys/a", token, expireTime: { seconds, nanos: 0 } },
});
const unavailable = refusal(status.UNAVAILABLE, "SERVER_STOPPING", 1);
const denied = refusal(status.PERMISSION_DENIED, "POLICY_DENIED");

// What each stream does, one after the other; the last does nothing more.
async function clientOf(...scripts: ((stream: Stream) => void)[]): Promise<PrivysealClient> {
  const { port } = await serve({
    watchSession: (stream: Stream) => {
      scripts.shift()?.(stream);
    },
  });
  return new PrivysealClient({ target: `127.0.0.1:${port.toString()}`, plaintext: true });
}

function script(end: object | undefined, ...events: Init<WatchSessionResponse>[]) {
  return (stream: Stream): void => {
    for (const event of events) {
      stream.write(WatchSessionResponse.fromPartial(event));
    }
    if (end !== undefined) {
      // Events are given before the end, also where both come at once.
      stream.emit("error", end);
    }
  };
}

async function tokens(client: PrivysealClient): Promise<[string[], unknown]> {
  const seen: string[] = [];
  try {
    for await (const event of client.watchSession({ key: "keys/a" })) {
      seen.push(event.session ? event.session.token : event.failure.reason);
    }
    return [seen, undefined];
  } catch (error) {
    return [seen, error];
  } finally {
    client.close();
  }
}

test("a stream that ends with UNAVAILABLE is opened again, and no session comes twice", async () => {
  const failure = { failure: statusOf(status.UNAVAILABLE, "VENUE_UNREACHABLE") };
  const client = await clientOf(
    script(unavailable, session("a")),
    script(unavailable),
    script(unavailable, session("a"), failure, session("a")),
    script(unavailable, session("a", 1n), session("b")),
    script(denied),
  );

  const [seen, error] = await tokens(client);

  assert.deepEqual(seen, ["a", "VENUE_UNREACHABLE", "a", "b"]);
  assert.ok(error instanceof PrivysealError);
  assert.equal(error.reason, "POLICY_DENIED");
});

test("a stream that ends well, which none should, is told", async () => {
  const client = await clientOf((stream) => {
    stream.end();
  });

  const [seen, error] = await tokens(client);

  assert.deepEqual(seen, []);
  assert.ok(error instanceof PrivysealError);
  assert.equal(error.code, "UNKNOWN");
});

test("leaving the loop ends the RPC", async () => {
  let cancelled: Promise<unknown> = Promise.resolve();
  const client = await clientOf((stream) => {
    cancelled = once(stream, "cancelled");
    script(undefined, session("a"))(stream);
  });

  for await (const event of client.watchSession({ key: "keys/a" })) {
    assert.equal(event.session?.token, "a");
    break;
  }

  await cancelled;
  client.close();
});

test("close ends a loop that waits, and the RPC", async () => {
  let cancelled: Promise<unknown> = Promise.resolve();
  const client = await clientOf((stream) => {
    cancelled = once(stream, "cancelled");
  });
  const watch = client.watchSession({ key: "keys/a" });

  const waiting = watch.next();
  await sleep(50);
  watch.close();

  assert.equal((await waiting).done, true);
  assert.equal((await watch.next()).done, true);
  await cancelled;
  client.close();
});

test("close ends the wait for another attempt", async () => {
  const client = await clientOf(script(refusal(status.UNAVAILABLE, "", 60_000)));
  const watch = client.watchSession({ key: "keys/a" });

  const waiting = watch.next();
  await sleep(50);
  await watch.return();

  assert.equal((await waiting).done, true);
  client.close();
});

test("closing the client ends its watches", async () => {
  const client = await clientOf();
  const waiting = client.watchSession({ key: "keys/a" }).next();
  await sleep(50);

  client.close();

  assert.equal((await waiting).done, true);
});

test("a signal ends a watch with CANCELLED", async () => {
  const client = await clientOf();
  const exchange = new AbortController();
  const watch = client.watchSession({ key: "keys/a" }, { signal: exchange.signal });

  const waiting = watch.next();
  await sleep(50);
  exchange.abort();

  await assert.rejects(waiting, { code: "CANCELLED" });
  client.close();
});

test("a stream that the server cancels is opened again", async () => {
  const cancelled = { code: status.CANCELLED, details: "stopped" };
  const client = await clientOf(script(cancelled), script(denied, session("a")));

  const [seen] = await tokens(client);

  assert.deepEqual(seen, ["a"]);
});

test("without a token of the client's, UNAUTHENTICATED ends a watch", async () => {
  const expired = refusal(status.UNAUTHENTICATED, "CALLER_UNPROVED");
  const client = await clientOf(script(expired, session("a")), script(denied, session("b")));

  const [seen, error] = await tokens(client);

  assert.deepEqual(seen, ["a"]);
  assert.ok(error instanceof PrivysealError);
  assert.equal(error.code, "UNAUTHENTICATED");
});
