import { isIP, isIPv4 } from "node:net";

import { ConfigurationError } from "./configuration-error.js";

/** A place where a server listens: a host and a port, or a Unix socket. */
export type Target = { readonly host: string; readonly port: number } | { readonly path: string };

const HOST_PORT = /^(?:\[(?<literal>[0-9a-fA-F:.]+(?:%\w+)?)\]|(?<name>[\w.-]+)):(?<port>\d{1,5})$/;

/**
 * Reads the targets of a client.
 *
 * @param given one or more of `host:port`, or one `unix:/absolute/path`
 * @throws {ConfigurationError} when one of them is neither
 */
export function parseTargets(given: string | readonly string[]): Target[] {
  const texts = typeof given === "string" ? [given] : given;
  if (texts.length === 0) {
    throw new ConfigurationError("target", "give at least one host:port");
  }
  if (texts.length > 1 && texts.some((text) => text.startsWith("unix:"))) {
    throw new ConfigurationError("target", "a Unix socket must be the only target");
  }
  return texts.map(parseTarget);
}

function parseTarget(text: string): Target {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    if (!path.startsWith("/")) {
      throw new ConfigurationError("target", `${text} has no absolute path; say unix:/path`);
    }
    return { path };
  }
  const { literal, name, port } = HOST_PORT.exec(text)?.groups ?? {};
  const host = literal ?? name;
  const number = Number(port);
  if (host === undefined || number < 1 || number > 65_535 || (literal && isIP(literal) !== 6)) {
    throw new ConfigurationError("target", `${text} is not host:port, [IPv6]:port or unix:/path`);
  }
  return { host, port: number };
}

/**
 * Whether nobody else can listen in on the way to a target.
 *
 * @param target where a server listens
 */
export function isLocal(target: Target): boolean {
  if ("path" in target) {
    return true;
  }
  const { host } = target;
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}

/**
 * Writes a target as it was given.
 *
 * @param target where a server listens
 */
export function targetText(target: Target): string {
  if ("path" in target) {
    return `unix:${target.path}`;
  }
  const { host, port } = target;
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port.toString()}`;
}
