import { inspect } from "node:util";

import { ConfigurationError, PrivysealError, RefusedError } from "@privyseal/client";

/**
 * Writes an error as the harness wants it.
 *
 * @param error what was thrown
 */
export function failureOf(error: unknown): object {
  const text = inspect(error, { depth: 10, showHidden: true });
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof PrivysealError) {
    return {
      code: error.code,
      reason: error.reason,
      message,
      metadata: error.metadata,
      field: error.field,
      retry_after_ms: error.retryAfterMs ?? null,
      is_retryable: error.isRetryable,
      text,
    };
  }
  return {
    code: codeOf(error),
    reason: "",
    message,
    metadata: {},
    field: "",
    retry_after_ms: null,
    is_retryable: false,
    text,
  };
}

function codeOf(error: unknown): string {
  if (error instanceof ConfigurationError) {
    return "CONFIGURATION";
  }
  if (error instanceof TypeError && error.message === "fetch failed") {
    return "HTTP";
  }
  // What `Request` does not take is refused by the library itself.
  if (error instanceof RefusedError || error instanceof TypeError) {
    return "REFUSED";
  }
  if (error instanceof DOMException) {
    return error.name === "TimeoutError" ? "DEADLINE_EXCEEDED" : "CANCELLED";
  }
  return "UNKNOWN";
}
