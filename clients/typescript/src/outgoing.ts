import type { DoorRequest } from "./door-request.js";
import type { SignedHttpRequest } from "./gen/privyseal/v1/signing_service.js";
import { RefusedError } from "./refused-error.js";

/** What goes out to the venue, byte for byte. */
export interface Outgoing {
  /** The signed method. */
  readonly method: string;
  /** Scheme, host and port. */
  readonly origin: URL;
  /** Path and query as they were signed. */
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  /** The signed body; empty where there is none. */
  readonly body: Uint8Array;
}

// An authority without a user, and what stands in a request line as it is.
const SIGNED_URL = /^(?<origin>https?:\/\/[^/?#@\s]+)(?<path>\/[\x21\x22\x24-\x7e]*)$/;
const NEVER_SENT = [
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "authorization",
  "cookie",
  "content-type",
  "proxy-authorization",
  "proxy-connection",
  "keep-alive",
  "te",
  "trailer",
  "upgrade",
  "expect",
];
const BODY_EXPECTED = ["POST", "PUT", "PATCH"];

/**
 * Puts together what is sent: what was signed, and of the request's own headers those that the
 * signed ones don't have.
 *
 * @param signed what was signed
 * @param request what the caller gave
 * @throws {RefusedError} when the signed URL can't be sent as it is
 */
export function outgoing(signed: SignedHttpRequest, request: DoorRequest): Outgoing {
  const { origin = "", path = "" } = SIGNED_URL.exec(signed.url)?.groups ?? {};
  if (path === "" || !URL.canParse(origin)) {
    throw new RefusedError(
      "url: the signed URL can't be sent letter by letter; look at the path of the request, and " +
        "at the venue's base URL in Privyseal's configuration",
    );
  }
  const place = new URL(origin);
  const { body } = signed;
  const headers = signed.headers.flatMap(({ name, value }) => [name, value]);
  const names = new Set(signed.headers.map(({ name }) => name.toLowerCase()));
  const add = (name: string, value: string): void => {
    if (!names.has(name.toLowerCase())) {
      names.add(name.toLowerCase());
      headers.push(name, value);
    }
  };
  add("Host", place.host);
  for (const [name, value] of request.headers) {
    if (!NEVER_SENT.includes(name)) {
      add(name, value);
    }
  }
  if (body.byteLength > 0 && request.contentType !== "") {
    add("Content-Type", request.contentType);
  }
  if (body.byteLength > 0 || BODY_EXPECTED.includes(signed.method)) {
    add("Content-Length", body.byteLength.toString());
  }
  // Both as `fetch` sends them; some venues refuse a request without.
  add("Accept", "*/*");
  add("User-Agent", "node");
  return { method: signed.method, origin: place, path, headers, body };
}
