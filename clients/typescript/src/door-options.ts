import type { Agent } from "node:http";

import { ConfigurationError } from "./configuration-error.js";

/** How a door signs and sends. */
export interface DoorOptions {
  /** Whether a missing session is opened by `Login`, once a send; true by default. */
  readonly login?: boolean | undefined;
  /**
   * Which of the venue's answers Privyseal is told: those with status 400 or more (the default),
   * all, for venues that say some errors with status 200, or none.
   */
  readonly report?: "errors" | "all" | "none" | undefined;
  /** The longest body that is read and signed, in bytes; 1 MiB by default. */
  readonly maxBodyBytes?: number | undefined;
  /**
   * The connections to the venue: an `https.Agent` (`http.Agent` for `http:`), such as one that
   * goes through a proxy. The door's own keep-alive agents where it is left out.
   */
  readonly agent?: Agent | undefined;
}

/**
 * Checks the options of a door.
 *
 * @param options what the caller gave
 * @throws {ConfigurationError} when they can't be right
 */
export function checkDoorOptions(options: DoorOptions): void {
  const { report = "errors", maxBodyBytes = 0 } = options;
  if (!["errors", "all", "none"].includes(report)) {
    throw new ConfigurationError("report", "must be errors, all or none");
  }
  if (!Number.isSafeInteger(maxBodyBytes) || maxBodyBytes < 0) {
    throw new ConfigurationError("maxBodyBytes", "must be a whole number of bytes");
  }
}
