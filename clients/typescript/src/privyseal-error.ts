import { BadRequest, ErrorInfo, RetryInfo } from "./gen/google/rpc/error_details.js";
import type { Status } from "./gen/google/rpc/status.js";
import type { ErrorReason } from "./gen/privyseal/v1/error_reason.js";
import { codeName, type Code } from "./code.js";

type KnownReason = keyof typeof ErrorReason extends `ERROR_REASON_${infer Name}` ? Name : never;

/**
 * Why the server refused: a value of `ErrorReason` without its prefix. Empty where the server
 * gave none; a reason that is newer than this client is kept as it came.
 */
export type Reason = Exclude<KnownReason, "UNSPECIFIED"> | "" | (string & {});

/** What a {@link PrivysealError} is made of, beside its message. */
export interface Failure {
  /** The gRPC code. */
  readonly code: Code;
  /** Why; none where it is left out. */
  readonly reason?: Reason;
  /** Further facts of the refusal. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** The first field that is wrong. */
  readonly field?: string;
  /** When it is worth trying again, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  /** What led to it. */
  readonly cause?: unknown;
}

/** A call that was refused, or could not be made. */
export class PrivysealError extends Error {
  override readonly name = "PrivysealError";
  /** The gRPC code. */
  readonly code: Code;
  /** Why the server refused; empty where it gave no reason, or was not reached. */
  readonly reason: Reason;
  /** Further facts, by name, as `ErrorReason` lists them; empty where there are none. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The path of the first field that is wrong; empty where none is. */
  readonly field: string;
  /** When it is worth trying again, in milliseconds; undefined where the server did not say. */
  readonly retryAfterMs: number | undefined;

  /**
   * @param message what happened and what to do
   * @param failure the rest
   */
  constructor(message: string, failure: Failure) {
    super(message, failure.cause === undefined ? undefined : { cause: failure.cause });
    this.code = failure.code;
    this.reason = failure.reason ?? "";
    this.metadata = failure.metadata ?? {};
    this.field = failure.field ?? "";
    this.retryAfterMs = failure.retryAfterMs;
  }

  /**
   * Whether the same call may succeed when it is made again: the code is `UNAVAILABLE` or
   * `ABORTED`, and the venue can't have acted on it.
   */
  get isRetryable(): boolean {
    return (
      (this.code === "UNAVAILABLE" || this.code === "ABORTED") &&
      this.reason !== "VENUE_OUTCOME_UNKNOWN"
    );
  }

  /**
   * Returns the failure that a status tells, such as one of `BatchSignResult`.
   *
   * @param status a `google.rpc.Status` that is not OK
   */
  static fromStatus(status: Status): PrivysealError {
    return new PrivysealError(status.message, {
      code: codeName(status.code),
      ...detailsOf(status),
    });
  }

  /** What `JSON.stringify` shows: all but stack and cause. */
  toJSON(): object {
    const { name, code, reason, message, metadata, field, retryAfterMs } = this;
    return { name, code, reason, message, metadata, field, retryAfterMs };
  }

  /** The error in one line, with code and reason. */
  override toString(): string {
    const reason = this.reason === "" ? "" : ` (${this.reason})`;
    return `${this.name}: ${this.code}${reason}: ${this.message}`;
  }
}

function detailsOf(status: Status): Omit<Failure, "code"> {
  let details: Omit<Failure, "code"> = {};
  for (const { typeUrl, value } of status.details) {
    try {
      switch (typeUrl.slice(typeUrl.lastIndexOf("/") + 1)) {
        case "google.rpc.ErrorInfo": {
          const { reason, metadata } = ErrorInfo.decode(value);
          details = { ...details, reason, metadata };
          break;
        }
        case "google.rpc.RetryInfo": {
          const delay = RetryInfo.decode(value).retryDelay;
          const ms = delay && Math.max(Number(delay.seconds) * 1e3 + delay.nanos / 1e6, 0);
          details = { ...details, retryAfterMs: ms };
          break;
        }
        case "google.rpc.BadRequest": {
          const field = BadRequest.decode(value).fieldViolations[0]?.field ?? "";
          details = { ...details, field };
          break;
        }
      }
    } catch {
      // A detail that can't be read tells nothing; the code and the message still do.
    }
  }
  return details;
}
