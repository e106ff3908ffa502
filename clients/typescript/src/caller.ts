import { setTimeout as sleep } from "node:timers/promises";

import { Metadata, type Client, type ServiceError } from "@grpc/grpc-js";

import { waitMs } from "./backoff.js";
import { checkTimeout, LONGEST_MS, type Settings } from "./client-options.js";
import { openChannel } from "./channel.js";
import { callFailure } from "./call-failure.js";
import { PrivysealError } from "./privyseal-error.js";
import { targetText } from "./target.js";
import { isToken, type TokenSource } from "./token-source.js";

/** How long a call may take, and how to end it early. */
export interface CallOptions {
  /** How long all attempts together may take, in milliseconds; the client's where left out. */
  readonly timeoutMs?: number | undefined;
  /** Ends the call at once when it is aborted, at the server too. */
  readonly signal?: AbortSignal | undefined;
}

/** An RPC as the stubs describe it. */
export interface Method<Request, Response> {
  /** The path, `/package.Service/Rpc`. */
  readonly path: string;
  /** Encodes the request. */
  readonly requestSerialize: (request: Request) => Buffer;
  /** Decodes a response. */
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** A stream of responses. */
export interface ResponseStream<Response> extends AsyncIterable<Response> {
  /** Ends the RPC. */
  cancel(): void;
}

type Outcome<Response> = { readonly response: Response } | { readonly failure: ServiceError };

const asIs = (bytes: Buffer): Buffer => bytes;

/** Makes calls on one channel: deadline, token, retries, cancelling, typed failures. */
export class Caller {
  readonly #channel: Client;
  readonly #settings: Settings;
  readonly #closing = new AbortController();

  /** @param settings where the servers listen and how to call them */
  constructor(settings: Settings) {
    this.#settings = settings;
    this.#channel = openChannel(settings);
  }

  /** The targets, as they were given. */
  get targets(): readonly string[] {
    return this.#settings.targets.map(targetText);
  }

  /** Is aborted when the client is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Whether calls bring a token. */
  get bringsToken(): boolean {
    return this.#settings.token !== undefined;
  }

  /** Whether a call with a request id is made again after a failure that allows it. */
  get retries(): boolean {
    return this.#settings.maxAttempts > 1;
  }

  /**
   * Returns the answer of an RPC.
   *
   * @param method the RPC
   * @param request its request
   * @param options deadline and signal
   * @throws {PrivysealError} when it is refused or can't be made
   */
  async call<Request extends object, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    const { timeoutMs = this.#settings.timeoutMs, signal } = options;
    checkTimeout("timeoutMs", timeoutMs);
    const deadline = Date.now() + timeoutMs;
    const bytes = method.requestSerialize(request);
    const mayRepeat = "requestId" in request && request.requestId !== "";
    const greatest = mayRepeat ? this.#settings.maxAttempts : 1;
    for (let attempts = 1; ; attempts += 1) {
      const metadata = await this.#metadata(deadline, signal);
      this.#checkOpen(signal);
      const outcome = await this.#attempt(method, bytes, metadata, deadline, signal);
      if ("response" in outcome) {
        return outcome.response;
      }
      const failure = callFailure(outcome.failure, this.targets, signal, deadline);
      const wait = waitMs(failure, attempts);
      if (attempts >= greatest || !failure.isRetryable || Date.now() + wait >= deadline) {
        throw failure;
      }
      await pause(wait, signal);
    }
  }

  /**
   * Opens a stream of responses, without a deadline.
   *
   * @param method the RPC
   * @param request its request
   * @param signal ends the wait for a token
   * @throws {PrivysealError} when the client is closed, or there is no token
   */
  async open<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    signal: AbortSignal,
  ): Promise<ResponseStream<Response>> {
    const metadata = await this.#metadata(Infinity, signal);
    this.#checkOpen(signal);
    return this.#channel.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
    );
  }

  /**
   * Turns what ended a stream into the client's own error.
   *
   * @param error what the stream threw
   * @param signal what the caller may have aborted
   */
  failureOf(error: unknown, signal: AbortSignal | undefined): PrivysealError {
    if (error instanceof PrivysealError) {
      return error;
    }
    if (error instanceof Error && "metadata" in error) {
      return callFailure(error as ServiceError, this.targets, signal);
    }
    throw error;
  }

  /** Closes the channel. Calls under way end by themselves, streams now; new ones are refused. */
  close(): void {
    this.#closing.abort();
    this.#channel.close();
  }

  #attempt<Request, Response>(
    method: Method<Request, Response>,
    bytes: Buffer,
    metadata: Metadata,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<Outcome<Response>> {
    return new Promise((resolve) => {
      const call = this.#channel.makeUnaryRequest(
        method.path,
        asIs,
        method.responseDeserialize,
        bytes,
        metadata,
        { deadline },
        (failure, response) => {
          signal?.removeEventListener("abort", cancel);
          resolve(failure === null ? { response: response as Response } : { failure });
        },
      );
      const cancel = (): void => {
        call.cancel();
      };
      signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  async #metadata(deadline: number, signal: AbortSignal | undefined): Promise<Metadata> {
    const metadata = new Metadata();
    const { token: source } = this.#settings;
    if (source !== undefined) {
      const token = await within(source, deadline, signal);
      if (!isToken(token)) {
        const message = "the function `token` returned no token; look at what it asks";
        throw new PrivysealError(message, { code: "UNAUTHENTICATED" });
      }
      metadata.set("authorization", `Bearer ${token}`);
    }
    return metadata;
  }

  #checkOpen(signal: AbortSignal | undefined): void {
    if (signal?.aborted === true) {
      throw cancelled(signal);
    }
    if (this.closing.aborted) {
      throw new PrivysealError("the client is closed; make a new one", { code: "CANCELLED" });
    }
  }
}

function cancelled(signal: AbortSignal): PrivysealError {
  return new PrivysealError("the call was cancelled", { code: "CANCELLED", cause: signal.reason });
}

/**
 * Waits between two attempts.
 *
 * @param ms how long, in milliseconds
 * @param signal ends the wait
 * @throws {PrivysealError} `CANCELLED`, when the signal is aborted
 */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(Math.min(ms, LONGEST_MS), undefined, signal && { signal });
  } catch (error) {
    throw signal?.aborted === true ? cancelled(signal) : error;
  }
}

async function within(
  source: TokenSource,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  let token: unknown;
  try {
    token = source();
  } catch {
    return "";
  }
  if (typeof token !== "object" || token === null) {
    return token;
  }
  // Its error is not kept: it may quote what it was given.
  const given = Promise.resolve(token).catch(() => "");
  const done = new AbortController();
  const end = signal ? AbortSignal.any([signal, done.signal]) : done.signal;
  const longest = Math.min(Math.max(deadline - Date.now(), 0), LONGEST_MS);
  const tooLate = sleep(longest, undefined, { signal: end }).then(
    () => {
      const message = "the function `token` took longer than the call may; look at what it asks";
      throw new PrivysealError(message, { code: "DEADLINE_EXCEEDED" });
    },
    () => {
      throw signal?.aborted === true ? cancelled(signal) : new Error("done");
    },
  );
  try {
    return await Promise.race([given, tooLate]);
  } finally {
    done.abort();
    tooLate.catch(() => undefined);
  }
}
