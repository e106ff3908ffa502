import { randomUUID } from "node:crypto";

import { Metadata } from "@grpc/grpc-js";

import { openChannel } from "#client/channel.js";
import { settingsOf } from "#client/client-options.js";
import { SigningServiceService } from "#client/gen/privyseal/v1/signing_service.js";
import {
  PrivysealError,
  type ClientOptions,
  type PrivysealClient,
  type SignRequest,
} from "@privyseal/client";

import type { Rpc } from "./rpcs.js";

/** How many calls, and how. */
export interface Load {
  /** How many calls in all. */
  readonly count: number;
  /** How many at once. */
  readonly concurrency: number;
  /** Whether each has a request id of its own. */
  readonly requestIds: boolean;
}

/**
 * Makes many calls, and counts how they ended.
 *
 * @param client makes them
 * @param rpc what to call
 * @param request its request
 * @param load how many
 */
export async function load(
  client: PrivysealClient,
  rpc: Rpc,
  request: object,
  load: Load,
): Promise<object> {
  const failed: Record<string, number> = {};
  let started = 0;
  let succeeded = 0;
  const worker = async (): Promise<void> => {
    while (started < load.count) {
      started += 1;
      try {
        const own = load.requestIds ? { ...request, requestId: randomUUID() } : request;
        await rpc.call(client, own, {});
        succeeded += 1;
      } catch (error) {
        const code = error instanceof PrivysealError ? error.code : "UNKNOWN";
        failed[code] = (failed[code] ?? 0) + 1;
      }
    }
  };
  await Promise.all(Array.from({ length: load.concurrency }, worker));
  return { succeeded, failed };
}

/**
 * Measures one Sign through the client and through the bare stub, in turns.
 *
 * @param client makes the first
 * @param options what the client was made of
 * @param request what to sign
 * @param count how often
 */
export async function overhead(
  client: PrivysealClient,
  options: ClientOptions,
  request: SignRequest,
  count: number,
): Promise<object> {
  const settings = settingsOf(options);
  const channel = openChannel(settings);
  const { path, requestSerialize, responseDeserialize } = SigningServiceService.sign;
  const stub = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const deadline = { deadline: Date.now() + settings.timeoutMs };
      const metadata = new Metadata();
      channel.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        deadline,
        (error) => {
          if (error === null) {
            resolve();
          } else {
            reject(error);
          }
        },
      );
    });
  const times = { client: [] as number[], stub: [] as number[] };
  try {
    for (let i = 0; i < count; i += 1) {
      times.client.push(await timed(() => client.sign(request)));
      times.stub.push(await timed(stub));
    }
  } finally {
    channel.close();
  }
  return { client_us: median(times.client), stub_us: median(times.stub) };
}

async function timed(call: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await call();
  return (performance.now() - start) * 1e3;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
