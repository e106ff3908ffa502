/** A request that a door refuses to sign or to send, told before anything went out. */
export class RefusedError extends TypeError {
  override readonly name = "RefusedError";
}
