import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";

import type { sendUnaryData } from "@grpc/grpc-js";

import { listen, serve } from "./loopback.js";

const PROGRAM = `
  import { PrivysealClient } from "@privyseal/client";
  const [target] = process.argv.slice(1);
  const client = new PrivysealClient({ target, plaintext: true });
  await client.sign({ key: "keys/a" });
  await (await client.fetch("keys/a")("https://venue.example/")).text();
  if (process.argv[2] === "close") client.close();
`;

for (const last of ["close", "leave open"]) {
  test(`a program that is done ends by itself: ${last}`, async () => {
    const venue = await listen((_, response) => response.end("ok"));
    const url = `http://127.0.0.1:${venue.port.toString()}/`;
    const { port } = await serve({
      sign: (_: unknown, answer: sendUnaryData<unknown>) => {
        const signedHttpRequest = { method: "GET", url, headers: [], body: new Uint8Array() };
        answer(null, { key: "", keyVersion: 0n, signedHttpRequest, algorithm: "", nonce: "" });
      },
    });
    const parameters = ["--input-type=module", "-e", PROGRAM, `127.0.0.1:${port.toString()}`, last];

    const start = performance.now();
    const program = spawn(process.execPath, parameters, { stdio: "inherit", timeout: 10_000 });
    const [code] = (await once(program, "exit")) as [number | null];

    assert.equal(code, 0);
    assert.ok(performance.now() - start < 5_000);
  });
}
