import { setTimeout as sleep } from "node:timers/promises";
import { createInterface } from "node:readline";
import { inspect } from "node:util";

import { Session } from "#client/gen/privyseal/v1/signing_service.js";
import {
  PrivysealClient,
  VERSION,
  type ClientOptions,
  type SessionEvent,
  type SessionWatch,
  type SignRequest,
} from "@privyseal/client";

import type { Command } from "./command.js";
import { failureOf } from "./failure.js";
import { load, overhead } from "./measure.js";
import { RPCS, type Rpc } from "./rpcs.js";

interface Stream {
  readonly watch: SessionWatch;
  pending: Promise<IteratorResult<SessionEvent, void>> | undefined;
}

const clients = new Map<string, { client: PrivysealClient; options: ClientOptions }>();
const streams = new Map<string, Stream>();

const DO: Readonly<Record<string, (command: Command) => object | Promise<object>>> = {
  describe: () => ({ language: "typescript", version: VERSION, doors: ["fetch"] }),
  connect,
  call,
  watch: ({ client, request, stream }) => {
    const message = rpcOf("WatchSession").decode(Buffer.from(request, "base64"));
    const watch = clientOf(client).watchSession(message);
    streams.set(stream, { watch, pending: undefined });
    // The stream is opened when somebody waits for it, so do.
    streamOf(stream).pending = quietly(watch.next());
    return {};
  },
  next,
  unwatch: ({ stream }) => {
    streamOf(stream).watch.close();
    return {};
  },
  send,
  load: ({ client, rpc, request, count, concurrency, request_ids }) =>
    load(clientOf(client), rpcOf(rpc), rpcOf(rpc).decode(Buffer.from(request, "base64")), {
      count,
      concurrency,
      requestIds: request_ids === true,
    }),
  overhead: ({ client: name, request, count }) => {
    const { client, options } = found(clients, name);
    const message = rpcOf("Sign").decode(Buffer.from(request, "base64")) as SignRequest;
    return overhead(client, options, message, count);
  },
  close: ({ client }) => {
    clientOf(client).close();
    return {};
  },
};

function connect(command: Command): object {
  const { tls, plaintext, token_file, timeout_ms, max_attempts } = command;
  const options: ClientOptions = {
    target: command.targets,
    tls: tls
      ? {
          ca: tls.ca,
          certificate: tls.certificate ?? undefined,
          privateKey: tls.private_key ?? undefined,
          serverName: tls.server_name ?? undefined,
        }
      : undefined,
    plaintext: plaintext ?? undefined,
    tokenFile: token_file ?? undefined,
    timeoutMs: timeout_ms ?? undefined,
    maxAttempts: max_attempts ?? undefined,
  };
  const client = new PrivysealClient(options);
  clients.set(command.client, { client, options });
  return { text: `${inspect(client, { showHidden: true })} ${JSON.stringify(client)}` };
}

async function call(command: Command): Promise<object> {
  const rpc = rpcOf(command.rpc);
  const { timeout_ms, cancel_after_ms } = command;
  const cancelling = new AbortController();
  const timer = cancel_after_ms
    ? setTimeout(() => {
        cancelling.abort();
      }, cancel_after_ms)
    : undefined;
  const start = performance.now();
  const elapsed = (): number => Math.round(performance.now() - start);
  try {
    const request = rpc.decode(Buffer.from(command.request, "base64"));
    const options = { timeoutMs: timeout_ms ?? undefined, signal: cancelling.signal };
    const response = await rpc.call(clientOf(command.client), request, options);
    return { response: response.toString("base64"), elapsed_ms: elapsed() };
  } catch (error) {
    return { error: failureOf(error), elapsed_ms: elapsed() };
  } finally {
    clearTimeout(timer);
  }
}

async function next({ stream: name, timeout_ms }: Command): Promise<object> {
  const stream = streamOf(name);
  stream.pending ??= quietly(stream.watch.next());
  const late = sleep(timeout_ms ?? 10_000, undefined, { ref: false });
  try {
    const result = await Promise.race([stream.pending, late]);
    if (result === undefined) {
      return { nothing: true };
    }
    stream.pending = undefined;
    if (result.done === true) {
      return { end: failureOf(new Error("the watch was closed")) };
    }
    const { session, failure } = result.value;
    return session
      ? { session: Buffer.from(Session.encode(session).finish()).toString("base64") }
      : { failure: failureOf(failure) };
  } catch (error) {
    return { end: failureOf(error) };
  }
}

async function send(command: Command): Promise<object> {
  const { key, method, url, headers, body, login, report, max_body_bytes, timeout_ms } = command;
  const door = clientOf(command.client).fetch(key, {
    login: login ?? undefined,
    report: report ?? undefined,
    maxBodyBytes: max_body_bytes ?? undefined,
  });
  const init: RequestInit = {
    method,
    headers: headers ?? [],
    body: body === null || body === undefined ? null : Buffer.from(body, "base64"),
    signal: timeout_ms ? AbortSignal.timeout(timeout_ms) : null,
  };
  let answer = await door(url, init);
  for (let i = 1; i < (command.times ?? 1); i += 1) {
    await answer.arrayBuffer();
    answer = await door(url, init);
  }
  const content = Buffer.from(await answer.arrayBuffer());
  const { status } = answer;
  return { status, headers: [...answer.headers], body: content.toString("base64") };
}

function clientOf(name: string): PrivysealClient {
  return found(clients, name).client;
}

function streamOf(name: string): Stream {
  return found(streams, name);
}

function rpcOf(name: string): Rpc {
  return found(RPCS, name);
}

function found<Value>(map: ReadonlyMap<string, Value>, name: string): Value {
  const value = map.get(name);
  if (value === undefined) {
    throw new Error(`there is no ${name}`);
  }
  return value;
}

function quietly<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(() => undefined);
  return promise;
}

async function answer(line: string): Promise<void> {
  const command = JSON.parse(line) as Command;
  let fields: object;
  try {
    const act = DO[command.do];
    if (act === undefined) {
      throw new Error(`there is no command ${command.do}`);
    }
    fields = await act(command);
  } catch (error) {
    fields = { error: failureOf(error) };
  }
  process.stdout.write(`${JSON.stringify({ id: command.id, ...fields })}\n`);
}

for await (const line of createInterface({ input: process.stdin })) {
  void answer(line);
}
process.exit(0);
