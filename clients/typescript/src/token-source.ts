import { readFileSync, statSync } from "node:fs";

import { ConfigurationError } from "./configuration-error.js";

/** Returns the bearer token for one attempt of an RPC. */
export type TokenSource = () => string | Promise<string>;

const BETWEEN_LOOKS_MS = 1_000;
const TOKEN = /^[\x21-\x7e]+$/;

/**
 * Returns the token that a file holds. It is read again when it changed, at most once a second;
 * one that can't be read, or holds no token, leaves the last good one in force.
 *
 * @param path the file's path
 * @param now the time in milliseconds
 * @throws {ConfigurationError} when the file holds no token now
 */
export function tokenOfFile(path: string, now: () => number = Date.now): TokenSource {
  let token = readToken(path);
  let stamp = stampOf(path);
  let looked = now();
  return () => {
    if (Math.abs(now() - looked) >= BETWEEN_LOOKS_MS) {
      looked = now();
      try {
        const latest = stampOf(path);
        if (latest !== stamp) {
          token = readToken(path);
          stamp = latest;
        }
      } catch {
        // Being replaced, most likely: the last good token stays.
      }
    }
    return token;
  };
}

/**
 * Whether a text can be sent as a bearer token.
 *
 * @param text what may be one
 */
export function isToken(text: unknown): text is string {
  return typeof text === "string" && TOKEN.test(text);
}

function readToken(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    const advice = `${path} can't be read (${code}); check path and rights`;
    throw new ConfigurationError("tokenFile", advice);
  }
  if (!isToken(text)) {
    throw new ConfigurationError("tokenFile", `${path} holds no token on a single line`);
  }
  return text;
}

function stampOf(path: string): string {
  const { ino, size, mtimeNs } = statSync(path, { bigint: true });
  return `${ino.toString()} ${size.toString()} ${mtimeNs.toString()}`;
}
