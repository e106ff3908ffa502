import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { ConfigurationError, PrivysealClient, type ClientOptions } from "@privyseal/client";

import { TestCa } from "./certificates.js";
import { directory } from "./loopback.js";

const path = directory();
const write = (name: string, text: string): string => {
  writeFileSync(join(path, name), text);
  return join(path, name);
};
const testCa = new TestCa();
const { certificate, privateKey } = testCa.issue("localhost");
const ca = write("ca.pem", testCa.certificate);
const files = {
  certificate: write("client.pem", certificate),
  privateKey: write("client-key.pem", privateKey),
};
const otherKey = write("other-key.pem", testCa.issue("localhost").privateKey);
const empty = write("empty", "\n");
const local = { target: "localhost:1", plaintext: true };

const REFUSED: readonly (readonly [string, string, ClientOptions])[] = [
  ["no target", "target", { target: [], plaintext: true }],
  ["no port", "target", { target: "localhost", plaintext: true }],
  ["port 0", "target", { target: "localhost:0", plaintext: true }],
  ["port 65536", "target", { target: "localhost:65536", plaintext: true }],
  ["a scheme", "target", { target: "dns:///localhost:1", plaintext: true }],
  ["IPv6 without brackets", "target", { target: "::1:7443", plaintext: true }],
  ["a name in brackets", "target", { target: "[abc]:7443", plaintext: true }],
  ["a relative socket", "target", { target: "unix:socket", plaintext: true }],
  ["two sockets", "target", { target: ["unix:/a", "unix:/b"], plaintext: true }],
  ["neither TLS nor plaintext", "tls", { target: "localhost:1" }],
  ["TLS and plaintext", "plaintext", { ...local, tls: { ca } }],
  ["plaintext to elsewhere", "plaintext", { target: "10.0.0.1:1", plaintext: true }],
  ["a name like loopback", "plaintext", { target: "127.0.0.1.example:1", plaintext: true }],
  ["one of two elsewhere", "plaintext", { target: ["[::1]:1", "a:1"], plaintext: true }],
  ["a token in plaintext", "tokenFile", { ...local, tokenFile: ca }],
  ["a token function in plaintext", "token", { ...local, token: () => "t" }],
  ["two tokens", "token", { target: "a:1", tls: { ca }, tokenFile: ca, token: () => "t" }],
  ["an empty token", "tokenFile", { target: "a:1", tls: { ca }, tokenFile: empty }],
  ["no token file", "tokenFile", { target: "a:1", tls: { ca }, tokenFile: join(path, "none") }],
  ["no CA file", "tls.ca", { target: "a:1", tls: { ca: join(path, "none") } }],
  ["a CA that is none", "tls.ca", { target: "a:1", tls: { ca: empty } }],
  ["a key for a CA", "tls.ca", { target: "a:1", tls: { ca: files.privateKey } }],
  ["half a pair", "tls.privateKey", { target: "a:1", tls: { ca, certificate: ca } }],
  ["the other half", "tls.certificate", { target: "a:1", tls: { ca, privateKey: otherKey } }],
  [
    "another's key",
    "tls.privateKey",
    { target: "a:1", tls: { ca, ...files, privateKey: otherKey } },
  ],
  ["no key", "tls.privateKey", { target: "a:1", tls: { ca, ...files, privateKey: empty } }],
  ["no time", "timeoutMs", { ...local, timeoutMs: 0 }],
  ["no number", "timeoutMs", { ...local, timeoutMs: NaN }],
  ["no attempt", "maxAttempts", { ...local, maxAttempts: 0 }],
  ["half an attempt", "maxAttempts", { ...local, maxAttempts: 1.5 }],
];

for (const [name, setting, options] of REFUSED) {
  test(`${name}: refused with the setting's name, and no file's content`, () => {
    assert.throws(
      () => new PrivysealClient(options),
      (error) => {
        assert.ok(error instanceof ConfigurationError);
        assert.equal(error.setting, setting);
        assert.ok(error.message.startsWith(`${setting}: `));
        assert.doesNotMatch(String(error.stack), /BEGIN|MIG/);
        return true;
      },
    );
  });
}

test("loopback in all its forms may be plaintext", () => {
  for (const target of ["localhost:1", "127.8.9.1:1", "[::1]:1", "unix:/run/x.sock"]) {
    new PrivysealClient({ target, plaintext: true }).close();
  }
});

test("a door's options are checked when it is made", () => {
  const client = new PrivysealClient(local);

  assert.throws(() => client.fetch("keys/a", { maxBodyBytes: -1 }), ConfigurationError);
  assert.throws(() => client.fetch("keys/a", { report: "some" as "all" }), ConfigurationError);
});
