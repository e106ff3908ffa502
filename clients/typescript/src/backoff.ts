import type { PrivysealError } from "./privyseal-error.js";

const FIRST_MS = 100;
const LONGEST_MS = 2_000;

/**
 * Returns how long to wait before the next attempt, in milliseconds: what the server said, else
 * between a half and the whole of a time that doubles with each attempt.
 *
 * @param failure how the last attempt ended
 * @param attempts how many were made
 * @param random a number from 0 to 1
 */
export function waitMs(failure: PrivysealError, attempts: number, random = Math.random()): number {
  const whole = Math.min(FIRST_MS * 2 ** (attempts - 1), LONGEST_MS);
  return failure.retryAfterMs ?? whole * (0.5 + random / 2);
}
