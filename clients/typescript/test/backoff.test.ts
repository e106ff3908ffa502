import assert from "node:assert/strict";
import { test } from "node:test";

import { waitMs } from "#client/backoff.js";
import { PrivysealError } from "@privyseal/client";

const failure = new PrivysealError("busy", { code: "UNAVAILABLE" });

test("the wait doubles with each attempt, and ends at 2 s", () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 60].map((attempts) => waitMs(failure, attempts, 1));

  assert.deepEqual(waits, [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
});

test("chance takes away a half at most", () => {
  assert.equal(waitMs(failure, 1, 0), 50);
  assert.equal(waitMs(failure, 9, 0), 1_000);
});

test("what the server says counts, also when it says at once", () => {
  const told = new PrivysealError("busy", { code: "UNAVAILABLE", retryAfterMs: 5_000 });
  const atOnce = new PrivysealError("busy", { code: "UNAVAILABLE", retryAfterMs: 0 });

  assert.equal(waitMs(told, 1, 1), 5_000);
  assert.equal(waitMs(atOnce, 3, 1), 0);
});
