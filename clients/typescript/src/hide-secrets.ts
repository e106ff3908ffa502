import { inspect } from "node:util";

/** Where a response may hold what signs in, or was signed. */
interface Holder {
  readonly session?: object | undefined;
  readonly signedHttpRequest?: object | undefined;
  readonly results?: readonly { readonly response?: object | undefined }[] | undefined;
}

/**
 * Keeps sessions and signed requests out of what `console.log` shows; they stay as they are
 * otherwise.
 *
 * @param response what the server answered
 */
export function hideSecrets<Response extends object>(response: Response): Response {
  const { session, signedHttpRequest, results } = response as Holder;
  for (const secret of [session, signedHttpRequest]) {
    if (secret !== undefined) {
      Object.defineProperty(secret, inspect.custom, { value: () => "[hidden]" });
    }
  }
  for (const { response: each } of results ?? []) {
    if (each !== undefined) {
      hideSecrets(each);
    }
  }
  return response;
}
