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
 */
export function callFailure(
  error: ServiceError,
  targets: readonly string[],
  signal: AbortSignal | undefined,
): PrivysealError {
  const [bytes] = error.metadata.get(DETAILS);
  if (bytes instanceof Buffer) {
    try {
      return PrivysealError.fromStatus({ ...Status.decode(bytes), code: error.code });
    } catch {
      // Not a status: what gRPC itself says is all there is.
    }
  }
  const code = codeName(error.code);
  if (code === "CANCELLED" && signal?.aborted === true) {
    return new PrivysealError("the call was cancelled", { code, cause: signal.reason });
  }
  return new PrivysealError(messageOf(code, error.details, targets), { code });
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
    case "CANCELLED":
      return `the call was ended on the other side, or on the way there (${details})`;
    default:
      return details;
  }
}
