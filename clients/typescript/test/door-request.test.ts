import assert from "node:assert/strict";
import { test } from "node:test";

import { readRequest, type DoorRequest } from "#client/door-request.js";
import { RefusedError } from "@privyseal/client";

const URL_TEXT = "https://venue.example/api";
const read = (
  input: Parameters<typeof fetch>[0],
  init?: RequestInit,
  longest = 1_000,
): Promise<DoorRequest> => readRequest(input, init, longest);
const text = ({ body }: DoorRequest): string => Buffer.from(body).toString();

test("path and query are what URL makes of them", async () => {
  const { path } = await read("https://venue.example/a%2Fb/./c d?x=1+2&y=%20&z=ä#f");

  assert.equal(path, "/a%2Fb/c%20d?x=1+2&y=%20&z=%C3%A4");
});

test("a text has no media type unless the caller chose one", async () => {
  const chosen = { "content-type": "application/json" };

  const plain = await read(URL_TEXT, { method: "POST", body: "{}" });
  const json = await read(URL_TEXT, { method: "POST", body: "{}", headers: chosen });

  assert.equal(plain.contentType, "");
  assert.equal(json.contentType, "application/json");
  assert.equal(text(json), "{}");
});

test("forms and blobs keep the media type that fetch gives them", async () => {
  const form = new FormData();
  form.set("a", "b c");
  const blob = new Blob(["x"], { type: "text/csv" });

  const parameters = await read(URL_TEXT, { method: "POST", body: new URLSearchParams("a=b+c") });
  const multipart = await read(URL_TEXT, { method: "POST", body: form });

  assert.equal(parameters.contentType, "application/x-www-form-urlencoded;charset=UTF-8");
  assert.equal(text(parameters), "a=b+c");
  assert.match(multipart.contentType, /^multipart\/form-data; boundary=/);
  assert.match(text(multipart), /b c/);
  assert.equal((await read(URL_TEXT, { method: "PUT", body: blob })).contentType, "text/csv");
});

test("a Request is read whole, and what stands beside it counts more", async () => {
  const request = new Request(URL_TEXT, { method: "POST", body: "a", headers: { "x-a": "1" } });

  const got = await read(request, { headers: { "x-b": "2" } });

  assert.equal(text(got), "a");
  assert.deepEqual([...got.headers.keys()].sort(), ["x-b"]);
});

test("a body of exactly the limit is taken, a byte more is not, however it comes", async () => {
  const stream = (length: number): RequestInit => ({
    method: "POST",
    body: new Blob(["x".repeat(length)]).stream(),
    duplex: "half",
  });

  assert.equal((await read(URL_TEXT, stream(10), 10)).body.byteLength, 10);
  await assert.rejects(read(URL_TEXT, stream(11), 10), RefusedError);
  await assert.rejects(read(URL_TEXT, { method: "POST", body: "x".repeat(11) }, 10), RefusedError);
});

test("a stream that never ends is left when it is too long, and told so", async () => {
  let cancelled = false;
  const body = new ReadableStream({
    pull: (controller) => {
      controller.enqueue(new Uint8Array(100));
    },
    cancel: () => {
      cancelled = true;
    },
  });

  await assert.rejects(read(URL_TEXT, { method: "POST", body, duplex: "half" }), RefusedError);
  assert.equal(cancelled, true);
});

test("aborting ends the reading of a body that stalls", async () => {
  const body = new ReadableStream();
  const exchange = new AbortController();
  setTimeout(() => {
    exchange.abort();
  }, 20);
  const { signal } = exchange;

  const reading = read(URL_TEXT, { method: "POST", body, duplex: "half", signal });

  await assert.rejects(reading, { name: "AbortError" });
});

test("following redirects is refused, and manual is what is done", async () => {
  await assert.rejects(read(URL_TEXT, { redirect: "follow" }), RefusedError);
  assert.equal((await read(URL_TEXT)).redirect, "manual");
  assert.equal((await read(URL_TEXT, { redirect: "error" })).redirect, "error");
});
