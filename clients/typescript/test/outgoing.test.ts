import assert from "node:assert/strict";
import { test } from "node:test";

import type { DoorRequest } from "#client/door-request.js";
import { SignedHttpRequest } from "#client/gen/privyseal/v1/signing_service.js";
import { outgoing } from "#client/outgoing.js";
import { RefusedError, type Init } from "@privyseal/client";

const request = (headers: Record<string, string> = {}, contentType = ""): DoorRequest => ({
  method: "POST",
  path: "/a",
  headers: new Headers(headers),
  contentType,
  body: Buffer.from("{}"),
  redirect: "manual",
  signal: undefined,
});
const signed = (fields: Init<SignedHttpRequest> = {}): SignedHttpRequest =>
  SignedHttpRequest.fromPartial({ method: "POST", url: "https://venue.example/a", ...fields });
const names = (headers: readonly string[]): string[] => headers.filter((_, i) => i % 2 === 0);

test("signed headers come first, in the venue's spelling, each as often as it was signed", () => {
  const headers = [
    { name: "X-TXC-APIKEY", value: "a" },
    { name: "X-Twice", value: "1" },
    { name: "X-Twice", value: "2" },
  ];

  const out = outgoing(signed({ headers }), request({ "x-txc-apikey": "mine", "x-own": "b" }));

  assert.deepEqual(out.headers.slice(0, 6), ["X-TXC-APIKEY", "a", "X-Twice", "1", "X-Twice", "2"]);
  assert.ok(out.headers.includes("x-own"));
  assert.ok(!out.headers.includes("mine"));
});

test("what could change or betray the request stays behind", () => {
  const own = {
    host: "evil.example",
    "content-length": "9",
    "transfer-encoding": "chunked",
    connection: "close",
    authorization: "Bearer t",
    cookie: "a=b",
    "content-type": "text/html",
  };

  const out = outgoing(signed(), request(own));

  assert.deepEqual(out.headers, [
    ...["Host", "venue.example", "Content-Length", "0", "Accept", "*/*", "User-Agent", "node"],
  ]);
});

test("the signed Content-Type counts, the request's where none came and there is a body", () => {
  const headers = [{ name: "Content-Type", value: "application/json" }];
  const body = Buffer.from("{}");
  const types = (out: { headers: readonly string[] }): string[] =>
    out.headers.filter((_, i) => out.headers[i - 1]?.toLowerCase() === "content-type");

  const chosen = outgoing(signed({ headers, body }), request({}, "text/csv"));
  const own = outgoing(signed({ body }), request({}, "text/csv"));
  const none = outgoing(signed(), request({}, "text/csv"));

  assert.deepEqual(types(chosen), ["application/json"]);
  assert.deepEqual(types(own), ["text/csv"]);
  assert.deepEqual(types(none), []);
});

test("the caller's Accept and User-Agent count", () => {
  const out = outgoing(signed(), request({ accept: "a/b", "user-agent": "desk" }));

  assert.equal(names(out.headers).filter((name) => name.toLowerCase() === "accept").length, 1);
  assert.ok(out.headers.includes("desk"));
});

test("the length of a GET without a body is not told", () => {
  const out = outgoing(signed({ method: "GET" }), request());

  assert.ok(!out.headers.includes("Content-Length"));
});

test("the path goes out letter by letter", () => {
  const path = "/a%2Fb/../c//d?x=%20&y=+&z='\"|^`{}";

  const out = outgoing(signed({ url: `http://127.0.0.1:8080${path}` }), request());

  assert.equal(out.path, path);
  assert.equal(out.origin.origin, "http://127.0.0.1:8080");
  assert.ok(out.headers.includes("127.0.0.1:8080"));
});

const CHANGED = [
  "https://venue.example/a b",
  "https://venue.example/ä",
  "https://venue.example/a#b",
  "https://venue.example/a\r\nHost: evil",
  "https://user:secret@venue.example/a",
  "https://venue.example",
  "https://venue.example?a=b",
  "https://venue.example:99999/a",
  "ftp://venue.example/a",
  "/a",
  "",
];

for (const url of CHANGED) {
  test(`a URL that can't go out as it is, is refused: ${JSON.stringify(url)}`, () => {
    assert.throws(
      () => outgoing(signed({ url }), request()),
      (error) => error instanceof RefusedError && !error.message.includes("secret"),
    );
  });
}
