import assert from "node:assert/strict";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { inspect } from "node:util";

import {
  ServerCredentials,
  status,
  type Metadata,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";

import { LiveTls } from "#client/tls-files.js";
import { tokenOfFile } from "#client/token-source.js";
import { PrivysealClient, type ClientOptions, type TlsFiles } from "@privyseal/client";

import { TestCa, type Issued } from "./certificates.js";
import { directory, refusal, serve, type Listening } from "./loopback.js";

const path = directory();
const ca = new TestCa();
const other = new TestCa();
const write = (name: string, text: string): string => {
  const file = join(path, name);
  // As a kubelet does it: never half a file.
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
  return file;
};
const files = (issued: Issued, issuer = ca): TlsFiles => ({
  ca: write("ca.pem", issuer.certificate),
  certificate: write("client.pem", issued.certificate),
  privateKey: write("client-key.pem", issued.privateKey),
});

let metadata: Metadata | undefined;

function start(names: readonly string[], issuer = ca, port = 0): Promise<Listening> {
  const { certificate, privateKey } = issuer.issue(...names);
  const pair = { private_key: Buffer.from(privateKey), cert_chain: Buffer.from(certificate) };
  const credentials = ServerCredentials.createSsl(Buffer.from(issuer.certificate), [pair], true);
  const sign = (call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>): void => {
    ({ metadata } = call);
    answer(null, { key: "", keyVersion: 0n, algorithm: "", nonce: "" });
  };
  return serve({ sign }, credentials, port);
}

function connect(target: string | string[], options: Partial<ClientOptions>): PrivysealClient {
  return new PrivysealClient({ target, maxAttempts: 1, timeoutMs: 3_000, ...options });
}

test("the server's certificate is checked for the host of its own target", async () => {
  const [local, byAddress] = await Promise.all([start(["localhost"]), start(["127.0.0.1"])]);
  const tls = files(ca.issue("client"));
  const target = (host: string, { port }: Listening): string => `${host}:${port.toString()}`;
  const warned: Error[] = [];
  process.on("warning", (warning) => warned.push(warning));

  const right = connect([target("localhost", local), target("127.0.0.1", byAddress)], { tls });
  for (let i = 0; i < 10; i += 1) {
    await right.sign({});
  }
  const wrong = connect([target("localhost", byAddress), target("127.0.0.1", local)], { tls });
  await assert.rejects(wrong.sign({}), { code: "UNAVAILABLE", message: /certificate/ });
  const named = { ...tls, serverName: "localhost" };
  const renamed = connect(target("127.0.0.1", local), { tls: named });
  await renamed.sign({});

  assert.deepEqual(warned, []);
  for (const client of [right, wrong, renamed]) {
    client.close();
  }
});

test("a new connection uses the files of that moment", async () => {
  const first = await start(["localhost"]);
  const tls = files(ca.issue("client"));
  const client = connect(`localhost:${first.port.toString()}`, { tls, maxAttempts: 4 });
  await client.sign({});

  first.stop();
  files(other.issue("client"), other);
  await start(["localhost"], other, first.port);
  await sleep(300);

  await client.sign({ requestId: "id" });
  client.close();
});

test("files that are missing or don't fit leave the last good ones in force", () => {
  const tls = files(ca.issue("a"));
  const live = new LiveTls(tls);
  const before = live.current();

  assert.equal(live.current(), before);
  write("client.pem", ca.issue("b").certificate);
  assert.equal(live.current(), before);
  rmSync(tls.ca);
  assert.equal(live.current(), before);
  files(ca.issue("c"));
  const renewed = live.current();
  assert.notEqual(renewed, before);
  write("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  assert.equal(live.current(), renewed);
});

test("TLS before 1.3 is not spoken", async () => {
  const { certificate, privateKey } = ca.issue("localhost");
  const server = createServer({ cert: certificate, key: privateKey, maxVersion: "TLSv1.2" });
  const sockets = new Set<TLSSocket>();
  server.on("secureConnection", (socket) => sockets.add(socket));
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const client = connect(`localhost:${port.toString()}`, { tls: files(ca.issue("client")) });

  await assert.rejects(client.sign({}), { code: "UNAVAILABLE", message: /version/i });

  assert.equal(sockets.size, 0);
  client.close();
  server.close();
});

test("a token is asked for anew, sent as it is, and shown nowhere", async () => {
  const { port } = await start(["localhost"]);
  const target = `localhost:${port.toString()}`;
  const tls = files(ca.issue("client"));
  const tokens = ["s3cret-1", "s3cret-2"];
  const client = connect(target, { tls, token: () => Promise.resolve(tokens.shift() ?? "") });

  await client.sign({});
  assert.deepEqual(metadata?.get("authorization"), ["Bearer s3cret-1"]);
  await client.sign({});
  assert.deepEqual(metadata.get("authorization"), ["Bearer s3cret-2"]);
  await assert.rejects(client.sign({}), { code: "UNAUTHENTICATED" });

  assert.doesNotMatch(inspect(client, { showHidden: true, depth: 10 }), /s3cret/);
  client.close();
});

test("a token function that fails or hangs ends the call, and its error is not shown", async () => {
  const tls = files(ca.issue("client"));
  const failing = connect("localhost:1", {
    tls,
    token: () => Promise.reject(new Error("s3cret")),
  });
  const hanging = connect("localhost:1", { tls, token: () => new Promise(() => undefined) });

  const failure: unknown = await failing.sign({}).catch((error: unknown) => error);

  assert.match(inspect(failure), /UNAUTHENTICATED/);
  assert.doesNotMatch(inspect(failure, { showHidden: true, depth: 10 }), /s3cret/);
  await assert.rejects(hanging.sign({}, { timeoutMs: 30 }), { code: "DEADLINE_EXCEEDED" });
  await assert.rejects(hanging.sign({}, { signal: AbortSignal.timeout(30) }), {
    code: "CANCELLED",
  });
  failing.close();
  hanging.close();
});

test("a token file is looked at once a second at most, and a bad one changes nothing", () => {
  let now = 0;
  const file = write("token", "one\n");
  const token = tokenOfFile(file, () => now);

  assert.equal(token(), "one");
  write("token", "two\n");
  assert.equal(token(), "one");
  now = 1_000;
  assert.equal(token(), "two");
  write("token", "no token\n");
  now = 2_000;
  assert.equal(token(), "two");
  rmSync(file);
  now = 3_000;
  assert.equal(token(), "two");
  write("token", "three");
  now = 4_000;
  assert.equal(token(), "three");
  assert.equal(readFileSync(file, "utf8"), "three");
});

test("no environment turns the check of the server's certificate off", async () => {
  const { port } = await start(["localhost"], other);
  const target = `localhost:${port.toString()}`;
  const name = "NODE_TLS_REJECT_UNAUTHORIZED";
  const { [name]: before = "1" } = process.env;
  process.env[name] = "0";
  metadata = undefined;
  const tls = { ca: write("ca.pem", ca.certificate) };
  const client = connect(target, { tls, token: () => "s3cret" });

  await assert.rejects(client.sign({ key: "keys/a" }), { code: "UNAVAILABLE" });

  client.close();
  process.env[name] = before;
  assert.equal(metadata, undefined);
});

test("a watch outlives the token that it began with, where the stream gave something", async () => {
  const { certificate, privateKey } = ca.issue("localhost");
  const pair = { private_key: Buffer.from(privateKey), cert_chain: Buffer.from(certificate) };
  const expired = refusal(status.UNAUTHENTICATED, "CALLER_UNPROVED");
  const seen: unknown[] = [];
  const watchSession = (stream: ServerWritableStream<unknown, unknown>): void => {
    seen.push(...stream.metadata.get("authorization"));
    if (seen.length < 3) {
      const token = `session ${seen.length.toString()}`;
      stream.write({ session: { key: "", token, headers: [], userId: "" } });
    }
    stream.emit("error", expired);
  };
  const { port } = await serve({ watchSession }, ServerCredentials.createSsl(null, [pair]));
  let asked = 0;
  const token = (): string => (asked += 1).toString();
  const tls = { ca: write("ca.pem", ca.certificate) };
  const client = connect(`localhost:${port.toString()}`, { tls, token });
  const watch = client.watchSession({ key: "keys/a" });

  assert.equal((await watch.next()).value?.session?.token, "session 1");
  assert.equal((await watch.next()).value?.session?.token, "session 2");
  await assert.rejects(watch.next(), { code: "UNAUTHENTICATED", reason: "CALLER_UNPROVED" });

  assert.deepEqual(seen, ["Bearer 1", "Bearer 2", "Bearer 3"]);
  client.close();
});
