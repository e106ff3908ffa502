import { HoldServiceService } from "#client/gen/privyseal/v1/hold_service.js";
import { KeyServiceService } from "#client/gen/privyseal/v1/key_service.js";
import { SigningServiceService } from "#client/gen/privyseal/v1/signing_service.js";
import { VenueServiceService } from "#client/gen/privyseal/v1/venue_service.js";
import type { CallOptions, PrivysealClient } from "@privyseal/client";

/** An RPC of any service, with messages as bytes. */
export interface Rpc {
  /** Calls it through the client. */
  call(client: PrivysealClient, request: object, options: CallOptions): Promise<Buffer>;
  /** Decodes its request. */
  decode(bytes: Buffer): object;
}

interface Definition {
  readonly requestDeserialize: (bytes: Buffer) => object;
  readonly responseSerialize: (response: never) => Buffer;
}

type Methods = Readonly<
  Record<string, (request: object, options: CallOptions) => Promise<unknown>>
>;

/** All RPCs that are no streams, by their names in the contract. */
export const RPCS: ReadonlyMap<string, Rpc> = new Map(
  [SigningServiceService, KeyServiceService, VenueServiceService, HoldServiceService]
    .flatMap((service) => Object.entries<Definition>(service))
    .map(([method, definition]) => [
      method.charAt(0).toUpperCase() + method.slice(1),
      {
        async call(client, request, options) {
          const response = await (client as unknown as Methods)[method]?.(request, options);
          return definition.responseSerialize(response as never);
        },
        decode: (bytes) => definition.requestDeserialize(bytes),
      },
    ]),
);
