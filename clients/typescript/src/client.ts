import { inspect } from "node:util";

import { Caller, type CallOptions, type Method } from "./caller.js";
import { settingsOf, type ClientOptions } from "./client-options.js";
import type { DoorOptions } from "./door-options.js";
import { Door } from "./door.js";
import * as hold from "./gen/privyseal/v1/hold_service.js";
import * as keys from "./gen/privyseal/v1/key_service.js";
import * as signing from "./gen/privyseal/v1/signing_service.js";
import * as venue from "./gen/privyseal/v1/venue_service.js";
import { hideSecrets } from "./hide-secrets.js";
import type { Init } from "./init.js";
import { SessionWatch, type WatchOptions } from "./session-watch.js";
import { VenueConnections } from "./venue-connections.js";

/**
 * Calls Privyseal. One client serves a whole program: its calls share connections, and many may
 * be under way at once. Every method takes the RPC's request and returns its response, or throws
 * a {@link PrivysealError}; requests may leave out what they don't need.
 */
export class PrivysealClient {
  readonly #caller: Caller;
  readonly #venues = new VenueConnections();

  /**
   * Makes a client. It reads the files that the options name, and connects with the first call.
   *
   * @param options how to reach the servers
   * @throws {ConfigurationError} when an option can't be right
   */
  constructor(options: ClientOptions) {
    this.#caller = new Caller(settingsOf(options));
  }

  /**
   * Returns a `fetch` that has each request signed with a key, and sends what was signed to the
   * venue, byte for byte.
   *
   * @param key the key's name, `keys/{key}`
   * @param options how to sign and send
   * @throws {ConfigurationError} when an option can't be right
   */
  fetch(key: string, options: DoorOptions = {}): typeof globalThis.fetch {
    const door = new Door(this.#caller, this.#venues, key, options);
    return (input, init) => door.send(input, init);
  }

  /** Returns the exact bytes of a venue request, or a signature over a structured message. */
  sign(request: Init<signing.SignRequest>, options?: CallOptions): Promise<signing.SignResponse> {
    return this.#call(signing.SigningServiceService.sign, signing.SignRequest, request, options);
  }

  /** Does up to 1000 Signs in order, each with a status of its own for `PrivysealError.fromStatus`. */
  batchSign(
    request: Init<signing.BatchSignRequest>,
    options?: CallOptions,
  ): Promise<signing.BatchSignResponse> {
    return this.#call(
      signing.SigningServiceService.batchSign,
      signing.BatchSignRequest,
      request,
      options,
    );
  }

  /** Returns the key's session at its venue, and opens one where there is none. */
  login(
    request: Init<signing.LoginRequest>,
    options?: CallOptions,
  ): Promise<signing.LoginResponse> {
    return this.#call(signing.SigningServiceService.login, signing.LoginRequest, request, options);
  }

  /** Ends the key's session, here and, where the venue can, there. */
  logout(
    request: Init<signing.LogoutRequest>,
    options?: CallOptions,
  ): Promise<signing.LogoutResponse> {
    return this.#call(
      signing.SigningServiceService.logout,
      signing.LogoutRequest,
      request,
      options,
    );
  }

  /**
   * Gives the key's session, each new one, and each failure to renew it, as they come. A stream
   * that ends because its connection grew old or the server stops is opened again.
   *
   * @param request the key
   * @param options what ends it
   */
  watchSession(request: Init<signing.WatchSessionRequest>, options?: WatchOptions): SessionWatch {
    return new SessionWatch(
      this.#caller,
      signing.WatchSessionRequest.fromPartial(request),
      options,
    );
  }

  /** Tells Privyseal what the venue said to a signed request, so that it mends nonce or session. */
  reportAnswer(
    request: Init<signing.ReportAnswerRequest>,
    options?: CallOptions,
  ): Promise<signing.ReportAnswerResponse> {
    return this.#call(
      signing.SigningServiceService.reportAnswer,
      signing.ReportAnswerRequest,
      request,
      options,
    );
  }

  /** Makes a key that goes straight into the secret store. */
  createKey(
    request: Init<signing.CreateKeyRequest>,
    options?: CallOptions,
  ): Promise<signing.CreateKeyResponse> {
    return this.#call(
      signing.SigningServiceService.createKey,
      signing.CreateKeyRequest,
      request,
      options,
    );
  }

  /** Returns a key's public facts. */
  getKey(request: Init<keys.GetKeyRequest>, options?: CallOptions): Promise<keys.GetKeyResponse> {
    return this.#call(keys.KeyServiceService.getKey, keys.GetKeyRequest, request, options);
  }

  /** Returns a page of the keys that the caller may read. */
  listKeys(
    request: Init<keys.ListKeysRequest>,
    options?: CallOptions,
  ): Promise<keys.ListKeysResponse> {
    return this.#call(keys.KeyServiceService.listKeys, keys.ListKeysRequest, request, options);
  }

  /** Writes a credential that exists already; it overwrites nothing. */
  importKey(
    request: Init<keys.ImportKeyRequest>,
    options?: CallOptions,
  ): Promise<keys.ImportKeyResponse> {
    return this.#call(keys.KeyServiceService.importKey, keys.ImportKeyRequest, request, options);
  }

  /** Returns the public key to which a secret is sealed for `importKey`. */
  getSealingKey(
    request: Readonly<Record<string, never>> = {},
    options?: CallOptions,
  ): Promise<keys.GetSealingKeyResponse> {
    return this.#call(
      keys.KeyServiceService.getSealingKey,
      keys.GetSealingKeyRequest,
      request,
      options,
    );
  }

  /** Replaces a credential, and accepts the old one until a time. */
  rotateKey(
    request: Init<keys.RotateKeyRequest>,
    options?: CallOptions,
  ): Promise<keys.RotateKeyResponse> {
    return this.#call(keys.KeyServiceService.rotateKey, keys.RotateKeyRequest, request, options);
  }

  /** Stops a key from being used, until `enableKey`. */
  disableKey(
    request: Init<keys.DisableKeyRequest>,
    options?: CallOptions,
  ): Promise<keys.DisableKeyResponse> {
    return this.#call(keys.KeyServiceService.disableKey, keys.DisableKeyRequest, request, options);
  }

  /** Lets a disabled key be used again. */
  enableKey(
    request: Init<keys.EnableKeyRequest>,
    options?: CallOptions,
  ): Promise<keys.EnableKeyResponse> {
    return this.#call(keys.KeyServiceService.enableKey, keys.EnableKeyRequest, request, options);
  }

  /** Puts a key's nonce counter right. */
  resyncNonce(
    request: Init<keys.ResyncNonceRequest>,
    options?: CallOptions,
  ): Promise<keys.ResyncNonceResponse> {
    return this.#call(
      keys.KeyServiceService.resyncNonce,
      keys.ResyncNonceRequest,
      request,
      options,
    );
  }

  /** Removes a key and all its versions for good. */
  deleteKey(
    request: Init<keys.DeleteKeyRequest>,
    options?: CallOptions,
  ): Promise<keys.DeleteKeyResponse> {
    return this.#call(keys.KeyServiceService.deleteKey, keys.DeleteKeyRequest, request, options);
  }

  /** Returns all that the server knows of a venue. */
  getVenue(
    request: Init<venue.GetVenueRequest>,
    options?: CallOptions,
  ): Promise<venue.GetVenueResponse> {
    return this.#call(venue.VenueServiceService.getVenue, venue.GetVenueRequest, request, options);
  }

  /** Returns a page of the venues, in the order of their names. */
  listVenues(
    request: Init<venue.ListVenuesRequest>,
    options?: CallOptions,
  ): Promise<venue.ListVenuesResponse> {
    return this.#call(
      venue.VenueServiceService.listVenues,
      venue.ListVenuesRequest,
      request,
      options,
    );
  }

  /** Stops a key, a venue, a caller or all, on every replica within two seconds. */
  createHold(
    request: Init<hold.CreateHoldRequest>,
    options?: CallOptions,
  ): Promise<hold.CreateHoldResponse> {
    return this.#call(hold.HoldServiceService.createHold, hold.CreateHoldRequest, request, options);
  }

  /** Returns a page of the holds in force that the caller may read. */
  listHolds(
    request: Init<hold.ListHoldsRequest>,
    options?: CallOptions,
  ): Promise<hold.ListHoldsResponse> {
    return this.#call(hold.HoldServiceService.listHolds, hold.ListHoldsRequest, request, options);
  }

  /** Lifts a hold. */
  deleteHold(
    request: Init<hold.DeleteHoldRequest>,
    options?: CallOptions,
  ): Promise<hold.DeleteHoldResponse> {
    return this.#call(hold.HoldServiceService.deleteHold, hold.DeleteHoldRequest, request, options);
  }

  /**
   * Closes the connections. Watches end; calls under way are answered, new ones are refused.
   */
  close(): void {
    this.#caller.close();
    this.#venues.close();
  }

  /** What `JSON.stringify` shows: where the servers listen, and nothing else. */
  toJSON(): object {
    return { targets: this.#caller.targets };
  }

  /** What `util.inspect` and `console.log` show. */
  [inspect.custom](): string {
    return `PrivysealClient { targets: ${inspect(this.#caller.targets)} }`;
  }

  async #call<Request extends object, Response extends object>(
    method: Method<Request, Response>,
    type: { fromPartial(init: Init<Request>): Request },
    request: Init<Request>,
    options: CallOptions | undefined,
  ): Promise<Response> {
    return hideSecrets(await this.#caller.call(method, type.fromPartial(request), options));
  }
}
