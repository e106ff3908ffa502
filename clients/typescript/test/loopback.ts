import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

import {
  Metadata,
  Server,
  ServerCredentials,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";

import { Any } from "#client/gen/google/protobuf/any.js";
import { ErrorInfo, RetryInfo } from "#client/gen/google/rpc/error_details.js";
import { Status } from "#client/gen/google/rpc/status.js";
import { SigningServiceService } from "#client/gen/privyseal/v1/signing_service.js";

/** Where a server of a test listens, and how to stop it. */
export interface Listening {
  /** The port on loopback. */
  readonly port: number;
  /** Ends it and its connections. */
  stop(): void;
}

/**
 * Starts a gRPC server on loopback, until the test file ends.
 *
 * @param handlers what it does for each RPC
 * @param credentials its TLS
 * @param port where it listens; any free one by default
 */
export async function serve(
  handlers: UntypedServiceImplementation,
  credentials = ServerCredentials.createInsecure(),
  port = 0,
): Promise<Listening> {
  const server = new Server({ "grpc.max_receive_message_length": 16 * 1_048_576 });
  const missing = Object.keys(SigningServiceService).filter((name) => !(name in handlers));
  const rest = missing.map((name) => [name, unimplemented]);
  const service = { ...handlers, ...Object.fromEntries(rest) } as UntypedServiceImplementation;
  server.addService(SigningServiceService, service);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port.toString()}`, credentials, (error, at) => {
      if (error === null) {
        resolve(at);
      } else {
        reject(error);
      }
    });
  });
  const stop = (): void => {
    server.forceShutdown();
  };
  after(stop);
  return { port: bound, stop };
}

function unimplemented(_: unknown, callback: (error: object) => void): void {
  callback({ code: status.UNIMPLEMENTED });
}

/**
 * Starts an HTTP server on loopback, until the test file ends.
 *
 * @param listener what it answers
 */
export async function listen(listener: RequestListener): Promise<Listening> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = (): void => {
    server.close();
    server.closeAllConnections();
  };
  after(stop);
  return { port: (server.address() as AddressInfo).port, stop };
}

/** Makes a directory that is gone when the test file ends. */
export function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "privyseal-"));
  after(() => {
    rmSync(path, { recursive: true });
  });
  return path;
}

/**
 * Writes a refusal as Privyseal does.
 *
 * @param code the gRPC code
 * @param reason the reason
 * @param retryAfterMs what RetryInfo says
 */
export function refusal(code: status, reason: string, retryAfterMs?: number): object {
  const metadata = new Metadata();
  const body = Status.encode(statusOf(code, reason, retryAfterMs)).finish();
  metadata.set("grpc-status-details-bin", Buffer.from(body));
  return { code, details: "refused", metadata };
}

/**
 * Makes the status of a refusal.
 *
 * @param code the gRPC code
 * @param reason the reason
 * @param retryAfterMs what RetryInfo says
 */
export function statusOf(code: number, reason: string, retryAfterMs?: number): Status {
  const info = ErrorInfo.fromPartial({ reason, domain: "privyseal", metadata: { key: "keys/a" } });
  const details = [any("ErrorInfo", ErrorInfo.encode(info).finish())];
  if (retryAfterMs !== undefined) {
    const seconds = BigInt(Math.floor(retryAfterMs / 1_000));
    const retryDelay = { seconds, nanos: (retryAfterMs % 1_000) * 1e6 };
    details.push(any("RetryInfo", RetryInfo.encode({ retryDelay }).finish()));
  }
  return { code, message: "refused", details };
}

function any(name: string, value: Uint8Array): Any {
  return { typeUrl: `type.googleapis.com/google.rpc.${name}`, value };
}
