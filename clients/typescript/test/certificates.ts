import {
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  type KeyObject,
} from "node:crypto";

/** A certificate and its private key, as PEM. */
export interface Issued {
  /** The certificate. */
  readonly certificate: string;
  /** The private key. */
  readonly privateKey: string;
}

const COMMON_NAME = "0603550403";
const BASIC_CONSTRAINTS = "0603551d13";
const SUBJECT_ALT_NAME = "0603551d11";
const ECDSA_WITH_SHA256 = der(0x30, Buffer.from("06082a8648ce3d040302", "hex"));

/** A CA for one test, with certificates that are good for an hour. */
export class TestCa {
  /** The CA's certificate, as PEM. */
  readonly certificate: string;
  readonly #key: KeyObject;

  constructor() {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#key = privateKey;
    const isCa = der(0x30, der(0x01, Buffer.of(0xff)));
    this.certificate = this.#issue(privateKey, "test CA", extension(BASIC_CONSTRAINTS, isCa));
  }

  /**
   * Issues a certificate.
   *
   * @param names the DNS names and IPv4 addresses that it is for
   */
  issue(...names: readonly string[]): Issued {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const entries = names.map((name) =>
      /^[\d.]+$/.test(name)
        ? der(0x87, Buffer.from(name.split(".").map(Number)))
        : der(0x82, Buffer.from(name)),
    );
    const extra = extension(SUBJECT_ALT_NAME, der(0x30, ...entries));
    return {
      certificate: this.#issue(privateKey, names[0] ?? "", extra),
      privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    };
  }

  #issue(key: KeyObject, subject: string, extra: Buffer): string {
    const body = der(
      0x30,
      der(0xa0, der(0x02, Buffer.of(2))),
      der(0x02, Buffer.concat([Buffer.of(1), randomBytes(8)])),
      ECDSA_WITH_SHA256,
      name("test CA"),
      der(0x30, time(-3_600_000), time(3_600_000)),
      name(subject),
      createPublicKey(key).export({ type: "spki", format: "der" }),
      der(0xa3, der(0x30, extra)),
    );
    const signature = Buffer.concat([Buffer.of(0), sign("sha256", body, this.#key)]);
    const whole = der(0x30, body, ECDSA_WITH_SHA256, der(0x03, signature));
    const text = whole.toString("base64").replace(/.{64}/g, "$&\n");
    return `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
  }
}

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const prefix =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...prefix), content]);
}

function name(text: string): Buffer {
  const attribute = der(0x30, Buffer.from(COMMON_NAME, "hex"), der(0x0c, Buffer.from(text)));
  return der(0x30, der(0x31, attribute));
}

function time(fromNowMs: number): Buffer {
  const text = new Date(Date.now() + fromNowMs).toISOString().replace(/[-:T]|\.\d+/g, "");
  return der(0x18, Buffer.from(text));
}

function extension(oid: string, value: Buffer): Buffer {
  return der(0x30, Buffer.from(oid, "hex"), der(0x04, value));
}
