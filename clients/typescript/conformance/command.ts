/** A command of the harness; which fields there are depends on `do`. */
export interface Command {
  readonly id: number;
  readonly do: string;
  readonly client: string;
  readonly targets: readonly string[];
  readonly tls?: {
    readonly ca: string;
    readonly certificate?: string;
    readonly private_key?: string;
    readonly server_name?: string;
  } | null;
  readonly token_file?: string | null;
  readonly plaintext?: boolean | null;
  readonly timeout_ms?: number | null;
  readonly max_attempts?: number | null;
  readonly cancel_after_ms?: number | null;
  readonly rpc: string;
  readonly request: string;
  readonly stream: string;
  readonly door: string;
  readonly key: string;
  readonly method: string;
  readonly url: string;
  readonly headers?: [string, string][] | null;
  readonly body?: string | null;
  readonly login?: boolean | null;
  readonly report?: "errors" | "all" | "none" | null;
  readonly max_body_bytes?: number | null;
  readonly times?: number | null;
  readonly count: number;
  readonly concurrency: number;
  readonly request_ids?: boolean | null;
}
