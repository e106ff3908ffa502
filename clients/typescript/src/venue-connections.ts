import * as http from "node:http";
import * as https from "node:https";
import type { IncomingMessage } from "node:http";

import type { Outgoing } from "./outgoing.js";
import { RefusedError } from "./refused-error.js";

// As long as `fetch` waits for a venue that sends nothing.
const SILENCE_MS = 300_000;
// As Node's own agent does it: 5 s for a connection to open, and as long it is kept when it is not
// used; the last one used goes first.
const KEPT = { keepAlive: true, scheduling: "lifo", timeout: 5_000 } as const;

/** The connections of a client's doors to the venues. */
export class VenueConnections {
  readonly #http = new http.Agent(KEPT);
  readonly #https = new https.Agent(KEPT);

  /**
   * Sends a request once, and returns the answer when its headers are there.
   *
   * @param outgoing what to send, byte for byte
   * @param signal ends the exchange, the reading of the answer's body too
   * @param agent the connections to use in place of these
   * @throws {TypeError} `fetch failed`, when there is no answer
   * @throws {RefusedError} when Node does not take it
   */
  send(
    outgoing: Outgoing,
    signal: AbortSignal | undefined,
    agent?: http.Agent,
  ): Promise<IncomingMessage> {
    const { method, origin, path, headers, body } = outgoing;
    const isSecure = origin.protocol === "https:";
    const own = isSecure ? this.#https : this.#http;
    return new Promise((resolve, reject) => {
      const options = { method, path, headers, agent: agent ?? own };
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const request = open(isSecure ? https : http, origin, options);
      let answer: IncomingMessage | undefined;
      const abort = (): void => {
        // A stream that is destroyed with a reason such as null ends as if it were whole.
        const given: unknown = signal?.reason;
        const reason = given ? (given as Error) : new Error("the exchange was aborted");
        answer?.destroy(reason);
        request.destroy(reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      request.setTimeout(SILENCE_MS, () => {
        const connecting = request.socket?.connecting === true;
        const late = connecting ? "no connection to the venue" : "the venue said nothing for 5 min";
        request.destroy(new Error(late));
      });
      request.once("close", () => {
        signal?.removeEventListener("abort", abort);
        // Nothing else tells of an answer 101, on which Node closes the connection.
        const cause = new Error("the venue switched protocols, or closed the connection");
        reject(new TypeError("fetch failed", { cause }));
      });
      request.on("error", (cause) => {
        const failed = new TypeError("fetch failed", { cause });
        reject(signal?.aborted === true ? (signal.reason as Error) : failed);
      });
      request.once("response", (response) => {
        answer = response;
        resolve(response);
      });
      request.end(body);
    });
  }

  /** Ends the connections that no exchange uses; the others end with theirs. */
  close(): void {
    for (const agent of [this.#http, this.#https]) {
      for (const socket of Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? [])) {
        socket.destroy();
      }
    }
  }
}

function open(
  by: typeof http | typeof https,
  origin: URL,
  options: http.RequestOptions,
): http.ClientRequest {
  try {
    return by.request(origin, options);
  } catch (cause) {
    const advice = "Node does not take it; look at its headers, and at the door's agent";
    throw new RefusedError(`request: ${advice}`, { cause });
  }
}
