/**
 * A message as it may be given: what is left out, in it or in the messages inside it, has the
 * value that protobuf gives it.
 */
export type { DeepPartial as Init } from "./gen/privyseal/v1/signing_service.js";
