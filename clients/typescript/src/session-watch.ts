import { waitMs } from "./backoff.js";
import { pause, type Caller, type CallOptions } from "./caller.js";
import {
  SigningServiceService,
  type Session,
  type WatchSessionRequest,
  type WatchSessionResponse,
} from "./gen/privyseal/v1/signing_service.js";
import { hideSecrets } from "./hide-secrets.js";
import { PrivysealError } from "./privyseal-error.js";

/** One event of a session: there is a new one, or it could not be renewed and is tried on. */
export type SessionEvent =
  | { readonly session: Session; readonly failure?: undefined }
  | { readonly failure: PrivysealError; readonly session?: undefined };

/** The options of {@link SessionWatch}: what ends it. It has no deadline. */
export type WatchOptions = Pick<CallOptions, "signal">;

/**
 * The events of a key's session, as they come. Take them with `for await`, by one loop; leaving
 * the loop, or `close`, ends the RPC.
 */
export class SessionWatch implements AsyncIterableIterator<SessionEvent> {
  readonly #events: AsyncGenerator<SessionEvent, void>;
  readonly #ending = new AbortController();

  /**
   * @param caller makes the calls
   * @param request the key to watch
   * @param options what ends it
   */
  constructor(caller: Caller, request: WatchSessionRequest, options: WatchOptions = {}) {
    this.#events = watch(
      caller,
      request,
      AbortSignal.any([this.#ending.signal, caller.closing]),
      options.signal,
    );
  }

  /**
   * Returns the next event.
   *
   * @throws {PrivysealError} when the watch ended in another way than by `close`
   */
  next(): Promise<IteratorResult<SessionEvent, void>> {
    return this.#events.next();
  }

  /** Ends the watch, as `close` does. */
  return(): Promise<IteratorResult<SessionEvent, void>> {
    this.close();
    return this.#events.return();
  }

  /** Ends the watch and its RPC; a loop that waits for the next event is left. */
  close(): void {
    this.#ending.abort();
  }

  /** Itself: one watch is one loop. */
  [Symbol.asyncIterator](): this {
    return this;
  }
}

async function* watch(
  caller: Caller,
  request: WatchSessionRequest,
  closed: AbortSignal,
  signal: AbortSignal | undefined,
): AsyncGenerator<SessionEvent, void> {
  const ending = signal ? AbortSignal.any([closed, signal]) : closed;
  let last = "";
  let failures = 0;
  let wait = 0;
  for (;;) {
    let failure: PrivysealError;
    let gave = false;
    try {
      await pause(wait, ending);
      for await (const answer of answers(caller, request, ending)) {
        gave = true;
        failures = 0;
        const event = eventOf(answer);
        const latest = event?.session && fingerprint(event.session);
        if (event !== undefined && latest !== last) {
          last = latest ?? last;
          yield event;
        }
      }
      const message = "the server ended the stream without a reason; open it again";
      failure = new PrivysealError(message, { code: "UNKNOWN" });
    } catch (error) {
      failure = caller.failureOf(error, signal);
    }
    if (closed.aborted) {
      return;
    }
    if (failure.code === "UNAUTHENTICATED" && gave && caller.bringsToken) {
      // It ends with the token that opened it, and there may be a fresh one.
      wait = 0;
      continue;
    }
    if (failure.code !== "UNAVAILABLE") {
      throw failure;
    }
    failures += 1;
    wait = waitMs(failure, failures);
  }
}

async function* answers(
  caller: Caller,
  request: WatchSessionRequest,
  ending: AbortSignal,
): AsyncGenerator<WatchSessionResponse, void> {
  const stream = await caller.open(SigningServiceService.watchSession, request, ending);
  const cancel = (): void => {
    stream.cancel();
  };
  ending.addEventListener("abort", cancel, { once: true });
  try {
    yield* stream;
  } finally {
    ending.removeEventListener("abort", cancel);
    cancel();
  }
}

function eventOf({ session, failure }: WatchSessionResponse): SessionEvent | undefined {
  if (session !== undefined) {
    return hideSecrets({ session });
  }
  return failure && { failure: PrivysealError.fromStatus(failure) };
}

function fingerprint({ token, expireTime }: Session): string {
  const { seconds = 0n, nanos = 0 } = expireTime ?? {};
  return `${seconds.toString()}.${nanos.toString()} ${token}`;
}
