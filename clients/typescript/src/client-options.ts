import { ConfigurationError } from "./configuration-error.js";
import { isLocal, parseTargets, targetText, type Target } from "./target.js";
import type { TlsFiles } from "./tls-files.js";
import { tokenOfFile, type TokenSource } from "./token-source.js";

/** How to reach the servers, and how long to try. Give either `tls` or `plaintext`. */
export interface ClientOptions {
  /**
   * One or more of `host:port`, or one `unix:/absolute/path`. All their addresses get calls in
   * turn, and one that is down is passed over.
   */
  readonly target: string | readonly string[];
  /** TLS: the CA, and for mTLS the caller's certificate and private key. */
  readonly tls?: TlsFiles | undefined;
  /** No TLS. For `localhost`, loopback addresses and Unix sockets only. */
  readonly plaintext?: boolean | undefined;
  /** The path of a file that holds a bearer token. Needs `tls`. */
  readonly tokenFile?: string | undefined;
  /** Returns the bearer token, and is asked for each attempt of an RPC. Needs `tls`. */
  readonly token?: TokenSource | undefined;
  /** How long a call may take, with all its attempts, in milliseconds; 10,000 by default. */
  readonly timeoutMs?: number | undefined;
  /** How often a call with a `requestId` is made at most; 4 by default, 1: never again. */
  readonly maxAttempts?: number | undefined;
}

/** The settings of a client, checked and complete. */
export interface Settings {
  /** Where the servers listen. */
  readonly targets: readonly Target[];
  /** The files for TLS; undefined: plaintext. */
  readonly tls: TlsFiles | undefined;
  /** Where bearer tokens come from. */
  readonly token: TokenSource | undefined;
  /** How long a call may take. */
  readonly timeoutMs: number;
  /** How often a call is made at most. */
  readonly maxAttempts: number;
}

/** The longest time that a timer of Node's can wait, in milliseconds. */
export const LONGEST_MS = 2_147_483_647;

/**
 * Checks the options of a client.
 *
 * @param options what the caller gave
 * @throws {ConfigurationError} when they can't be right, with the setting's name
 */
export function settingsOf(options: ClientOptions): Settings {
  const targets = parseTargets(options.target);
  const { tls, plaintext = false, tokenFile, token, timeoutMs = 10_000, maxAttempts = 4 } = options;
  if (tls === undefined && !plaintext) {
    throw new ConfigurationError("tls", "name the CA's file, or ask for plaintext on this host");
  }
  if (tls !== undefined && plaintext) {
    throw new ConfigurationError("plaintext", "can't be asked for together with tls; choose one");
  }
  const remote = targets.find((target) => !isLocal(target));
  if (plaintext && remote !== undefined) {
    const where = `${targetText(remote)} is not on this host`;
    throw new ConfigurationError("plaintext", `${where}; use tls, or localhost or a Unix socket`);
  }
  if (tokenFile !== undefined && token !== undefined) {
    throw new ConfigurationError("token", "can't be given together with tokenFile; choose one");
  }
  if (plaintext && (tokenFile !== undefined || token !== undefined)) {
    const setting = token === undefined ? "tokenFile" : "token";
    throw new ConfigurationError(setting, "a token is only sent over TLS; set tls");
  }
  checkTimeout("timeoutMs", timeoutMs);
  if (!Number.isSafeInteger(maxAttempts) || maxAttempts < 1) {
    throw new ConfigurationError("maxAttempts", "must be a whole number from 1 on");
  }
  const source = tokenFile === undefined ? token : tokenOfFile(tokenFile);
  return { targets, tls, token: source, timeoutMs, maxAttempts };
}

/**
 * Checks a time to wait.
 *
 * @param setting the name of the setting
 * @param ms the time in milliseconds
 * @throws {ConfigurationError} when nothing can wait as long
 */
export function checkTimeout(setting: string, ms: number): void {
  if (!(ms > 0 && ms <= LONGEST_MS)) {
    throw new ConfigurationError(
      setting,
      "must be a number of milliseconds above 0, below 24 days",
    );
  }
}
