import { randomUUID } from "node:crypto";

import { Answer } from "./answer.js";
import type { Caller } from "./caller.js";
import { checkDoorOptions, type DoorOptions } from "./door-options.js";
import { readRequest, type DoorRequest, type Input } from "./door-request.js";
import {
  LoginRequest,
  ReportAnswerRequest,
  SigningServiceService,
  SignRequest,
  type SignResponse,
} from "./gen/privyseal/v1/signing_service.js";
import { outgoing } from "./outgoing.js";
import { PrivysealError } from "./privyseal-error.js";
import type { VenueConnections } from "./venue-connections.js";

const MAX_BODY_BYTES = 1_048_576;
const REPORTED_BYTES = 65_536;
const REPORT_MS = 2_000;
// The rest is left for the report itself.
const READ_MS = 1_000;

/** Signs each request with one key, and sends it to the venue as it was signed. */
export class Door {
  readonly #caller: Caller;
  readonly #venues: VenueConnections;
  readonly #key: string;
  readonly #options: DoorOptions;

  /**
   * @param caller makes the calls to Privyseal
   * @param venues sends to the venues
   * @param key the key's name, `keys/{key}`
   * @param options how to sign and send
   * @throws {ConfigurationError} when the options can't be right
   */
  constructor(caller: Caller, venues: VenueConnections, key: string, options: DoorOptions) {
    checkDoorOptions(options);
    this.#caller = caller;
    this.#venues = venues;
    this.#key = key;
    this.#options = options;
  }

  /**
   * Signs a request and sends it, with the arguments and the answer of `fetch`.
   *
   * @param input where to, or the whole request
   * @param init the rest of it
   * @throws {RefusedError} when the request can't be signed or sent as it is
   * @throws {PrivysealError} when it was not signed
   */
  async send(input: Input, init?: RequestInit): Promise<Response> {
    const { maxBodyBytes = MAX_BODY_BYTES, agent } = this.#options;
    const request = await readRequest(input, init, maxBodyBytes);
    const { signal } = request;
    try {
      const signed = await this.#sign(request);
      if (signed.signedHttpRequest === undefined) {
        const message = "the server signed no HTTP request; use client and server of one version";
        throw new PrivysealError(message, { code: "INTERNAL" });
      }
      const out = outgoing(signed.signedHttpRequest, request);
      const answer = new Answer(await this.#venues.send(out, signal, agent), out.method);
      await this.#report(answer, signed, signal);
      if (signal?.aborted === true) {
        answer.discard();
      }
      signal?.throwIfAborted();
      if (request.redirect === "error" && answer.headers.has("location")) {
        answer.discard();
        throw new TypeError("fetch failed", { cause: new Error("unexpected redirect") });
      }
      // Where it went and what was asked; the signed query would be a credential in logs.
      return answer.toResponse(out.origin.origin + request.path);
    } catch (error) {
      throw signal?.aborted === true ? signal.reason : error;
    }
  }

  async #sign(request: DoorRequest): Promise<SignResponse> {
    try {
      return await this.#signOnce(request);
    } catch (error) {
      const { login = true } = this.#options;
      if (!login || !(error instanceof PrivysealError) || error.reason !== "SESSION_MISSING") {
        throw error;
      }
    }
    const login = LoginRequest.fromPartial({ key: this.#key });
    await this.#caller.call(SigningServiceService.login, login, { signal: request.signal });
    return await this.#signOnce(request);
  }

  #signOnce({ method, path, body, contentType, signal }: DoorRequest): Promise<SignResponse> {
    const request = SignRequest.fromPartial({
      key: this.#key,
      httpRequest: { method, path, body, contentType },
      requestId: this.#caller.retries ? randomUUID() : "",
    });
    return this.#caller.call(SigningServiceService.sign, request, { signal });
  }

  async #report(
    answer: Answer,
    signed: SignResponse,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { report = "errors" } = this.#options;
    if (report === "none" || (report === "errors" && answer.status < 400)) {
      return;
    }
    const until = Date.now() + REPORT_MS;
    const body = await answer.beginning(REPORTED_BYTES, READ_MS);
    const request = ReportAnswerRequest.fromPartial({
      key: this.#key,
      httpStatus: answer.status,
      body,
      signTime: signed.signTime,
      nonce: signed.nonce,
      date: answer.headers.get("date") ?? "",
    });
    try {
      const timeoutMs = Math.max(until - Date.now(), 1);
      await this.#caller.call(SigningServiceService.reportAnswer, request, { timeoutMs, signal });
    } catch {
      // The venue has answered, and the caller gets that whatever Privyseal makes of it.
    }
  }
}
