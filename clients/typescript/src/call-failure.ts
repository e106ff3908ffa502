import type { ServiceError } from "@grpc/grpc-js";

import { codeName } from "./code.js";
import { Status } from "./gen/google/rpc/status.js";
import { PrivysealError } from "./privyseal-error.js";

const DETAILS = "grpc-status-details-bin";

/**
 * Turns a failure of gRPC's into the client's own. What gRPC keeps beside it, such as metadata,
 * is left behind.
 *
 * @param error how gRPC says it
 * @param targets where the servers listen
 * @param signal what the caller may have aborted
 * @param deadline when the call had to end
 */
export function callFailure(
  error: ServiceError,
  targets: readonly string[],
  signal: AbortSignal | undefined,
  deadline = Infinity,
): PrivysealError {
  const [bytes] = error.metadata.get(DETAILS);
  if (bytes instanceof Buffer) {
    try {
      const told = PrivysealError.fromStatus({ ...Status.decode(bytes), code: error.code });
      if (told.code !== "CANCELLED" || told.reason !== "") {
        return told;
      }
    } catch {
      // Not a status: what gRPC itself says is all there is.
    }
  }
  const code = codeName(error.code);
  if (code === "CANCELLED") {
    return cancellation(error.details, targets, signal, deadline);
  }
  return new PrivysealError(messageOf(code, error.details, targets), { code });
}

// A server that is stopped by force resets its streams with the code of a caller that cancels.
function cancellation(
  details: string,
  targets: readonly string[],
  signal: AbortSignal | undefined,
  deadline: number,
): PrivysealError {
  if (signal?.aborted === true) {
    const cause: unknown = signal.reason;
    return new PrivysealError("the call was cancelled", { code: "CANCELLED", cause });
  }
  if (Date.now() >= deadline) {
    const code = "DEADLINE_EXCEEDED";
    return new PrivysealError(messageOf(code, details, targets), { code });
  }
  const message =
    `the server at ${targets.join(", ")} ended the call, as one that is stopped does ` +
    `(${details})`;
  return new PrivysealError(message, { code: "UNAVAILABLE" });
}

function messageOf(code: string, details: string, targets: readonly string[]): string {
  switch (code) {
    case "UNAVAILABLE":
      return (
        `no answer from ${targets.join(", ")}: check that the server runs there, that it is ` +
        `reached, and that both sides trust the other's certificate (${details})`
      );
    case "DEADLINE_EXCEEDED":
      return `no answer in time: give it longer by timeoutMs, or look at the server (${details})`;
    default:
      return details;
  }
}
