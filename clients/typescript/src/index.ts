/**
 * Client of the Privyseal signing service: calls as promises, failures as typed errors, and a
 * `fetch` whose requests are signed.
 *
 * @module
 */

export { PrivysealClient } from "./client.js";
export type { ClientOptions } from "./client-options.js";
export type { CallOptions } from "./caller.js";
export type { Code } from "./code.js";
export { ConfigurationError } from "./configuration-error.js";
export type { DoorOptions } from "./door-options.js";
export type { Init } from "./init.js";
export * from "./messages.js";
export { PrivysealError, type Failure, type Reason } from "./privyseal-error.js";
export { RefusedError } from "./refused-error.js";
export { SessionWatch, type SessionEvent, type WatchOptions } from "./session-watch.js";
export type { TlsFiles } from "./tls-files.js";
export type { TokenSource } from "./token-source.js";
export { VERSION } from "./version.js";
