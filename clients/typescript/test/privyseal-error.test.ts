import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { status } from "@grpc/grpc-js";

import { BadRequest } from "#client/gen/google/rpc/error_details.js";
import { PrivysealError } from "@privyseal/client";

import { statusOf } from "./loopback.js";

test("a status with all details becomes an error with all fields", () => {
  const given = statusOf(status.FAILED_PRECONDITION, "LOGIN_BACKING_OFF", 1_500);
  const violations = [
    { field: "key", description: "" },
    { field: "options", description: "" },
  ];
  const value = BadRequest.encode({ fieldViolations: violations }).finish();
  given.details.push({ typeUrl: "type.googleapis.com/google.rpc.BadRequest", value });

  const error = PrivysealError.fromStatus(given);

  assert.equal(error.code, "FAILED_PRECONDITION");
  assert.equal(error.reason, "LOGIN_BACKING_OFF");
  assert.deepEqual({ ...error.metadata }, { key: "keys/a" });
  assert.equal(error.field, "key");
  assert.equal(error.retryAfterMs, 1_500);
  assert.equal(error.isRetryable, false);
  assert.equal(String(error), "PrivysealError: FAILED_PRECONDITION (LOGIN_BACKING_OFF): refused");
});

test("a reason and a code of the future are kept as far as they can be", () => {
  assert.equal(PrivysealError.fromStatus(statusOf(status.UNAVAILABLE, "NEWER")).reason, "NEWER");
  assert.equal(PrivysealError.fromStatus(statusOf(99, "NEWER")).code, "UNKNOWN");
});

test("details that can't be read leave code and message", () => {
  const typeUrl = "type.googleapis.com/google.rpc.ErrorInfo";
  const details = [{ typeUrl, value: Uint8Array.of(0x0a, 0xff) }];

  const error = PrivysealError.fromStatus({ code: 5, message: "no such key", details });

  assert.equal(error.code, "NOT_FOUND");
  assert.equal(error.message, "no such key");
  assert.equal(error.reason, "");
  assert.equal(error.retryAfterMs, undefined);
});

test("what the venue may have acted on is not to be tried again", () => {
  const retryable = (code: status, reason: string): boolean =>
    PrivysealError.fromStatus(statusOf(code, reason)).isRetryable;

  assert.equal(retryable(status.UNAVAILABLE, "STATE_UNAVAILABLE"), true);
  assert.equal(retryable(status.ABORTED, ""), true);
  assert.equal(retryable(status.UNAVAILABLE, "VENUE_OUTCOME_UNKNOWN"), false);
  assert.equal(retryable(status.RESOURCE_EXHAUSTED, "OVERLOADED"), false);
});

test("printing an error shows code, reason and message, as JSON too", () => {
  const error = PrivysealError.fromStatus(statusOf(status.NOT_FOUND, "KEY_UNKNOWN"));

  for (const text of [inspect(error), JSON.stringify(error)]) {
    assert.match(text, /NOT_FOUND/);
    assert.match(text, /KEY_UNKNOWN/);
    assert.match(text, /refused/);
  }
});

test("a delay below nothing is none", () => {
  const given = statusOf(status.UNAVAILABLE, "OVERLOADED", -3_600_000);

  assert.equal(PrivysealError.fromStatus(given).retryAfterMs, 0);
});
