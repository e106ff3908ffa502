import { RefusedError } from "./refused-error.js";

/** The first argument of `fetch`. */
export type Input = Parameters<typeof fetch>[0];

/** A request as `fetch` would send it, before it is signed. */
export interface DoorRequest {
  /** The method. */
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** The request's own headers. */
  readonly headers: Headers;
  /** The media type that the caller chose; empty where there is none. */
  readonly contentType: string;
  /** The body; empty where there is none. */
  readonly body: Uint8Array;
  /** What to do with a redirect. */
  readonly redirect: "manual" | "error";
  /** Ends the exchange. */
  readonly signal: AbortSignal | undefined;
}

// What `fetch` writes on a body that is a text, whatever is in it. It is nobody's choice, and
// would take the place of the venue's own media type.
const TEXT = "text/plain;charset=UTF-8";

/**
 * Reads a request of `fetch`, body included.
 *
 * @param input the first argument of `fetch`
 * @param init the second
 * @param maxBodyBytes the longest body that is read
 * @throws {RefusedError} when the body is longer, or redirects shall be followed
 */
export async function readRequest(
  input: Input,
  init: RequestInit | undefined,
  maxBodyBytes: number,
): Promise<DoorRequest> {
  if (init?.redirect === "follow") {
    throw new RefusedError(
      "redirect: the signed request is good for one place, so redirects are not followed; " +
        'leave it out or say "manual"',
    );
  }
  const request = new Request(input, init);
  // The caller's own signal: a Request's follows it only as long as the Request is held.
  const inherited = input instanceof Request ? input.signal : undefined;
  const signal = (init?.signal === undefined ? inherited : init.signal) ?? undefined;
  signal?.throwIfAborted();
  const { pathname, search } = new URL(request.url);
  const contentType = request.headers.get("content-type") ?? "";
  return {
    method: request.method,
    path: pathname + search,
    headers: request.headers,
    contentType: contentType === TEXT ? "" : contentType,
    body: await readBody(request.body, signal, maxBodyBytes),
    redirect: request.redirect === "error" ? "error" : "manual",
    signal,
  };
}

async function readBody(
  body: Request["body"],
  signal: AbortSignal | undefined,
  longest: number,
): Promise<Uint8Array> {
  if (body === null) {
    return new Uint8Array();
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = (body as ReadableStream<Uint8Array>).getReader();
  const stop = (): void => {
    reader.cancel(signal?.reason).catch(() => undefined);
  };
  signal?.addEventListener("abort", stop, { once: true });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      signal?.throwIfAborted();
      if (done) {
        return Buffer.concat(chunks);
      }
      length += value.byteLength;
      if (length > longest) {
        const limit = `${longest.toString()} bytes`;
        throw new RefusedError(`body: it is longer than ${limit}; send less, or set maxBodyBytes`);
      }
      chunks.push(value);
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    reader.cancel().catch(() => undefined);
  }
}
