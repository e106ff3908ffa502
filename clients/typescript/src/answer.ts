import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { pipeline, type Readable, type Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};
const WITHOUT_BODY = [204, 205, 304];

/** A venue's answer: its beginning can be looked at before it is given on whole. */
export class Answer {
  /** The HTTP status. */
  readonly status: number;
  /** All headers. */
  readonly headers = new Headers();
  readonly #statusText: string;
  readonly #body: Readable;
  readonly #chunks: AsyncIterator<Buffer, undefined>;
  readonly #seen: Buffer[] = [];
  // Asked for and not there yet.
  #pending: Promise<IteratorResult<Buffer, undefined>> | undefined;

  readonly #hasBody: boolean;

  /**
   * @param message the answer as it comes in
   * @param method what it answers
   */
  constructor(message: IncomingMessage, method: string) {
    this.status = message.statusCode ?? 0;
    this.#statusText = message.statusMessage ?? "";
    for (let i = 0; i + 1 < message.rawHeaders.length; i += 2) {
      this.headers.append(message.rawHeaders[i] ?? "", message.rawHeaders[i + 1] ?? "");
    }
    this.#hasBody = method !== "HEAD" && !WITHOUT_BODY.includes(this.status);
    // Nothing can't be unpacked: to a decoder it is a text that was cut off.
    const isEmpty = !this.#hasBody || this.headers.get("content-length") === "0";
    const encoding = this.headers.get("content-encoding")?.toLowerCase() ?? "";
    const decoder = isEmpty ? undefined : DECODERS[encoding];
    this.#body = decoder ? pipeline(message, decoder(), () => undefined) : message;
    // They are told where the body is read; of one that nobody reads they must not end the process.
    this.#body.on("error", () => undefined);
    this.#chunks = (this.#body as AsyncIterable<Buffer, undefined>)[Symbol.asyncIterator]();
  }

  /**
   * Returns the beginning of the body, or what of it came in time.
   *
   * @param length how many bytes at most
   * @param ms how long to wait for them, in milliseconds
   */
  async beginning(length: number, ms: number): Promise<Buffer> {
    const late = new AbortController();
    const tooLate = sleep(ms, undefined, { signal: late.signal }).catch(() => undefined);
    let seen = 0;
    while (seen < length) {
      this.#pending ??= this.#chunks.next();
      // What breaks here breaks again where the caller reads the body.
      const next = await Promise.race([this.#pending.catch(() => undefined), tooLate]);
      if (next === undefined || next.done === true) {
        break;
      }
      this.#pending = undefined;
      this.#seen.push(next.value);
      seen += next.value.byteLength;
    }
    late.abort();
    return Buffer.concat(this.#seen).subarray(0, length);
  }

  /** Ends the exchange; nobody reads the body. */
  discard(): void {
    this.#body.destroy();
  }

  /**
   * Returns the answer as `fetch` does, body whole.
   *
   * @param url what its `url` shall be
   * @throws {TypeError} when it is nothing that a Response can be
   */
  toResponse(url: string): Response {
    if (!this.#hasBody) {
      this.#body.resume();
    }
    try {
      const response = new Response(this.#hasBody ? this.#stream() : null, {
        status: this.status,
        statusText: this.#statusText,
        headers: this.headers,
      });
      return Object.defineProperty(response, "url", { value: url });
    } catch (cause) {
      this.discard();
      throw new TypeError("fetch failed", { cause });
    }
  }

  #stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const seen = this.#seen.shift();
          if (seen !== undefined) {
            controller.enqueue(seen);
            return;
          }
          const { done, value } = await (this.#pending ?? this.#chunks.next());
          this.#pending = undefined;
          if (done === true) {
            controller.close();
          } else {
            controller.enqueue(value);
          }
        },
        cancel: () => {
          this.discard();
        },
      },
      { highWaterMark: 0 },
    );
  }
}
