import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { inspect } from "node:util";
import { gzipSync } from "node:zlib";

import { status, type sendUnaryData, type ServerUnaryCall } from "@grpc/grpc-js";

import {
  SignResponse,
  type ReportAnswerRequest,
  type SignRequest,
} from "#client/gen/privyseal/v1/signing_service.js";
import { VenueConnections } from "#client/venue-connections.js";
import {
  PrivysealClient,
  PrivysealError,
  RefusedError,
  type ClientOptions,
  type DoorOptions,
} from "@privyseal/client";

import { listen, refusal, serve } from "./loopback.js";

type Call<Request> = ServerUnaryCall<Request, unknown>;
type Answer = sendUnaryData<unknown>;

interface Scene {
  /** The door. */
  readonly door: typeof fetch;
  /** What Privyseal was asked to sign. */
  readonly signed: SignRequest[];
  /** What it was told of answers. */
  readonly reported: ReportAnswerRequest[];
  /** How often it was asked to log in. */
  logins: number;
  /** Whether the next requests are refused for want of a session. */
  needsSession: boolean;
  /** Whether reports are left without an answer. */
  hangs: boolean;
}

const SIGN_TIME = { seconds: 1_700_000_000n, nanos: 123_456_789 };
const URL_TEXT = "https://venue.example/a%2Fb?x=1+2&y=%20";

async function scene(
  venue: RequestListener,
  options: DoorOptions = {},
  settings: Partial<ClientOptions> = {},
): Promise<Scene> {
  const { port } = await listen(venue);
  const url = `http://127.0.0.1:${port.toString()}`;
  const signed: SignRequest[] = [];
  const reported: ReportAnswerRequest[] = [];
  const server = await serve({
    sign: ({ request }: Call<SignRequest>, answer: Answer) => {
      signed.push(request);
      if (state.needsSession) {
        answer(refusal(status.FAILED_PRECONDITION, "SESSION_MISSING"));
        return;
      }
      const { method = "", path = "", body } = request.httpRequest ?? {};
      const headers = [{ name: "X-Signed", value: signed.length.toString() }];
      const signedHttpRequest = { method, url: url + path, headers, ...(body && { body }) };
      const response = { signedHttpRequest, signTime: SIGN_TIME, nonce: "7" };
      answer(null, SignResponse.fromPartial(response));
    },
    login: (_: unknown, answer: Answer) => {
      state.logins += 1;
      state.needsSession = false;
      answer(null, {});
    },
    reportAnswer: ({ request }: Call<ReportAnswerRequest>, answer: Answer) => {
      reported.push(request);
      if (!state.hangs) {
        answer({ code: status.INTERNAL, details: "broken" });
      }
    },
  });
  const target = `127.0.0.1:${server.port.toString()}`;
  const client = new PrivysealClient({ target, plaintext: true, ...settings });
  const door = client.fetch("keys/a", options);
  const state = { door, signed, reported, logins: 0, needsSession: false, hangs: false };
  return state;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

const ok = (_: IncomingMessage, response: ServerResponse): void => {
  response.end("ok");
};

test("what was signed goes out byte for byte", async () => {
  let seen: readonly unknown[] = [];
  const { door, signed } = await scene((request, response) => {
    void bodyOf(request).then((body) => {
      seen = [request.method, request.url, request.rawHeaders, body];
      response.end("ok");
    });
  });

  const answer = await door(URL_TEXT, { method: "POST", body: "ä +\0", headers: { "x-own": "1" } });

  assert.equal(await answer.text(), "ok");
  const [method, path, headers, body] = seen as [string, string, string[], string];
  assert.equal(method, "POST");
  assert.equal(path, "/a%2Fb?x=1+2&y=%20");
  assert.equal(body, "ä +\0");
  assert.deepEqual(headers.slice(0, 2), ["X-Signed", "1"]);
  assert.deepEqual(headers.slice(4, 6), ["x-own", "1"]);
  assert.ok(!headers.some((header) => /content-type|transfer-encoding/i.test(header)));
  assert.equal(signed[0]?.httpRequest?.contentType, "");
  assert.match(signed[0].requestId, /^[0-9a-f-]{36}$/);
});

test("the answer is one of fetch's", async () => {
  const { door } = await scene((_, response) => {
    response.writeHead(201, "Made", [
      ...["Set-Cookie", "a=1", "Set-Cookie", "b=2", "X-Twice", "1", "X-Twice", "2"],
    ]);
    response.end("{}");
  });

  const answer = await door(URL_TEXT);

  assert.ok(answer instanceof Response);
  assert.equal(answer.status, 201);
  assert.equal(answer.statusText, "Made");
  assert.deepEqual(answer.headers.getSetCookie(), ["a=1", "b=2"]);
  assert.equal(answer.headers.get("x-twice"), "1, 2");
  assert.match(answer.url, /^http:\/\/127\.0\.0\.1:\d+\/a%2Fb\?x=1\+2&y=%20$/);
  assert.deepEqual(await answer.clone().json(), {});
  assert.doesNotMatch(inspect(answer), /X-Signed/i);
});

test("answers without a body have none, and the connection is used again", async () => {
  const ports = new Set<number | undefined>();
  const { door } = await scene((request, response) => {
    ports.add(request.socket.remotePort);
    response.writeHead(request.url === "/1" ? 204 : 304).end();
  });

  assert.equal((await door("https://v/1")).body, null);
  await sleep(10);
  assert.equal((await door("https://v/2")).status, 304);
  assert.equal(ports.size, 1);
});

test("a packed answer is unpacked, for the report too", async () => {
  const { door, reported } = await scene((_, response) => {
    response.writeHead(400, { "content-encoding": "gzip" }).end(gzipSync("no"));
  });

  assert.equal(await (await door(URL_TEXT)).text(), "no");
  assert.equal(Buffer.from(reported[0]?.body ?? []).toString(), "no");
});

test("a refusal of the venue is reported, and given whole though the report fails", async () => {
  const body = "x".repeat(200_000);
  const { door, reported } = await scene((_, response) => {
    response.writeHead(400, { Date: "Mon, 01 Jan 2024 00:00:00 GMT" }).end(body);
  });

  const answer = await door(URL_TEXT);

  assert.equal((await answer.text()).length, body.length);
  const [report] = reported;
  assert.equal(report?.httpStatus, 400);
  assert.equal(report.body.byteLength, 65_536);
  assert.deepEqual(report.signTime, SIGN_TIME);
  assert.equal(report.nonce, "7");
  assert.equal(report.date, "Mon, 01 Jan 2024 00:00:00 GMT");
});

test("which answers are reported can be chosen", async () => {
  const all = await scene(ok, { report: "all" });
  const errors = await scene(ok);
  const none = await scene((_, response) => response.writeHead(500).end(), { report: "none" });

  assert.equal(await (await all.door(URL_TEXT)).text(), "ok");
  await errors.door(URL_TEXT);
  await none.door(URL_TEXT);

  assert.deepEqual(
    [all, errors, none].map(({ reported }) => reported.length),
    [1, 0, 0],
  );
});

test("a report that hangs, of an answer that stalls, takes no longer than 2 s", async () => {
  const stage = await scene((_, response) => {
    response.writeHead(500).write("begin ");
    setTimeout(() => response.end("end"), 2_300);
  });
  stage.hangs = true;

  const start = performance.now();
  const answer = await stage.door(URL_TEXT);

  assert.ok(performance.now() - start < 2_200);
  assert.equal(Buffer.from(stage.reported[0]?.body ?? []).toString(), "begin ");
  assert.equal(await answer.text(), "begin end");
});

test("a missing session is opened once, and the request signed anew", async () => {
  const stage = await scene(ok);
  stage.needsSession = true;

  assert.equal((await stage.door(URL_TEXT)).status, 200);

  assert.equal(stage.logins, 1);
  assert.equal(stage.signed.length, 2);
  assert.notEqual(stage.signed[0]?.requestId, stage.signed[1]?.requestId);
});

test("without login a missing session is the caller's", async () => {
  const stage = await scene(ok, { login: false });
  stage.needsSession = true;

  await assert.rejects(
    stage.door(URL_TEXT),
    (error) => error instanceof PrivysealError && error.reason === "SESSION_MISSING",
  );
  assert.equal(stage.logins, 0);
});

test("no request id is sent where retries are off", async () => {
  const { door, signed } = await scene(ok, {}, { maxAttempts: 1 });

  await door(URL_TEXT);

  assert.equal(signed[0]?.requestId, "");
});

test("too long a body is refused before anything is signed", async () => {
  const { door, signed } = await scene(ok);

  const body = new Uint8Array(1_048_577);
  await assert.rejects(door(URL_TEXT, { method: "POST", body }), RefusedError);

  assert.equal(signed.length, 0);
});

test("a redirect is given, or an error where it shall be one", async () => {
  const { door } = await scene((_, response) => {
    response.writeHead(302, { location: "/elsewhere" }).end();
  });

  const answer = await door(URL_TEXT);

  assert.equal(answer.status, 302);
  assert.equal(answer.headers.get("location"), "/elsewhere");
  await assert.rejects(door(URL_TEXT, { redirect: "error" }), TypeError);
});

test("a broken connection is fetch's own error, and nothing is sent twice", async () => {
  let seen = 0;
  const { door } = await scene((request) => {
    seen += 1;
    request.socket.destroy();
  });

  await assert.rejects(door(URL_TEXT), (error) => {
    assert.ok(error instanceof TypeError);
    assert.equal(error.message, "fetch failed");
    assert.doesNotMatch(inspect(error, { showHidden: true, depth: 10 }), /X-Signed/i);
    return true;
  });
  assert.equal(seen, 1);
});

test("a body that breaks off is an error where it is read", async () => {
  const { door, reported } = await scene((_, response) => {
    response.writeHead(500, { "content-length": "100" }).write("part");
    setTimeout(() => response.destroy(), 50);
  });

  const answer = await door(URL_TEXT);

  assert.equal(Buffer.from(reported[0]?.body ?? []).toString(), "part");
  await assert.rejects(answer.text());
});

test("aborting ends the exchange with the signal's reason, whenever it comes", async () => {
  const reason = new Error("enough");
  const aborted = (ms: number): AbortSignal => {
    const exchange = new AbortController();
    setTimeout(() => {
      exchange.abort(reason);
    }, ms);
    return exchange.signal;
  };
  const silent = await scene(() => undefined);
  let closed: Promise<unknown> = Promise.resolve();
  const endless = await scene((_, response) => {
    closed = once(response, "close");
    response.writeHead(200).write("begin");
  });

  const before = AbortSignal.abort(reason);
  await assert.rejects(silent.door(URL_TEXT, { signal: before }), reason);
  assert.equal(silent.signed.length, 0);
  await assert.rejects(silent.door(URL_TEXT, { signal: aborted(30) }), reason);
  const request = new Request(URL_TEXT, { signal: aborted(30) });
  await assert.rejects(silent.door(request), reason);
  const answer = await endless.door(URL_TEXT, { signal: aborted(30) });
  await assert.rejects(answer.text(), reason);
  await closed;
});

test("leaving an answer's body ends its connection", async () => {
  let closed: Promise<unknown> = Promise.resolve();
  const { door } = await scene((_, response) => {
    closed = once(response, "close");
    response.writeHead(200).write("begin");
  });

  const answer = await door(URL_TEXT);
  await answer.body?.cancel();

  await closed;
});

test("many sends are under way at once", async () => {
  let waiting: (() => void)[] = [];
  const { door } = await scene((_, response) => {
    waiting.push(() => response.end("ok"));
    if (waiting.length === 20) {
      for (const go of waiting) {
        go();
      }
      waiting = [];
    }
  });

  const answers = await Promise.all(Array.from({ length: 20 }, () => door(URL_TEXT)));

  assert.deepEqual(new Set(await Promise.all(answers.map((each) => each.text()))), new Set(["ok"]));
});

test("an answer that switches protocols is an error, not silence", async () => {
  const { door } = await scene((request) => {
    request.socket.end(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    );
  });

  await assert.rejects(door(URL_TEXT), { name: "TypeError", message: "fetch failed" });
});

test("a packed answer without a body harms nobody, and a broken one only who reads it", async () => {
  const uncaught: unknown[] = [];
  const note = (error: unknown): void => void uncaught.push(error);
  process.on("uncaughtException", note);
  const { door } = await scene((request, response) => {
    const status = Number(request.url?.slice(1));
    const length = status === 200 ? { "content-length": 0 } : {};
    response.writeHead(status, { "content-encoding": "gzip", ...length });
    response.end(status === 201 ? "no gzip" : undefined);
  });

  for (const code of [204, 205, 304, 200]) {
    assert.equal(await (await door(`https://v/${code.toString()}`)).text(), "");
  }
  const head = await door("https://v/201", { method: "HEAD" });
  assert.equal(head.body, null);
  await door("https://v/201");
  await assert.rejects((await door("https://v/201")).text(), /incorrect header check/);
  await sleep(50);

  process.off("uncaughtException", note);
  assert.deepEqual(uncaught, []);
});

test("a body is never taken for whole when it was aborted, whatever the reason", async () => {
  const { door } = await scene((_, response) => {
    response.writeHead(200, { "content-length": "100" }).write("part");
  });

  for (const reason of [null, 0, "", "text"]) {
    const exchange = new AbortController();
    const answer = await door(URL_TEXT, { signal: exchange.signal });
    exchange.abort(reason);
    await assert.rejects(answer.text());
  }
});

test("what Node does not take is refused, and not shown", async () => {
  const origin = new URL("http://127.0.0.1:9");
  const headers = ["Trailer", "s3cret"];
  const out = { method: "GET", origin, path: "/", headers, body: new Uint8Array() };

  const sending = new VenueConnections().send(out, undefined);

  await assert.rejects(sending, (error: unknown) => {
    assert.ok(error instanceof RefusedError);
    assert.doesNotMatch(inspect(error, { depth: Infinity, showHidden: true }), /s3cret/);
    return true;
  });
});

test("an exchange that was aborted before it began sends nothing", async () => {
  let seen = 0;
  const { port } = await listen((_, response) => {
    seen += 1;
    response.end();
  });
  const origin = new URL(`http://127.0.0.1:${port.toString()}`);
  const out = { method: "GET", origin, path: "/", headers: [], body: new Uint8Array() };
  const reason = new Error("enough");

  await assert.rejects(new VenueConnections().send(out, AbortSignal.abort(reason)), reason);
  await sleep(50);

  assert.equal(seen, 0);
});
