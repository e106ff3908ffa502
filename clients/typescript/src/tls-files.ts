import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContext } from "node:tls";

import { ConfigurationError } from "./configuration-error.js";

/** PEM files for TLS. All are read again when they change. */
export interface TlsFiles {
  /** The path of the CA that signed the server's certificate. */
  readonly ca: string;
  /** The path of the caller's certificate, with its chain, for mTLS. */
  readonly certificate?: string | undefined;
  /** The path of the certificate's private key. */
  readonly privateKey?: string | undefined;
  /** The name that the server's certificate must have; the target's host where it is left out. */
  readonly serverName?: string | undefined;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The TLS settings that the next connection uses, as the files hold them. */
export class LiveTls {
  readonly #files: TlsFiles;
  #texts: string;
  #context: SecureContext;

  /**
   * @param files the files, which are read at once
   * @throws {ConfigurationError} when one can't be read or they don't fit together
   */
  constructor(files: TlsFiles) {
    if ((files.certificate === undefined) !== (files.privateKey === undefined)) {
      const setting = files.certificate === undefined ? "tls.certificate" : "tls.privateKey";
      throw new ConfigurationError(setting, "give both the certificate and its private key");
    }
    this.#files = files;
    const texts = read(files);
    this.#context = contextOf(texts);
    this.#texts = JSON.stringify(texts);
  }

  /**
   * Returns what is in force: what the files hold now, or what they held last that was right.
   *
   * They are small and this is asked for once a connection, so they are read in place: a new
   * certificate counts from the very next connection, and there is nothing to watch and to stop.
   */
  current(): SecureContext {
    try {
      const texts = read(this.#files);
      const joined = JSON.stringify(texts);
      if (joined !== this.#texts) {
        this.#context = contextOf(texts);
        this.#texts = joined;
      }
    } catch {
      // Half written, or gone for a moment: the last good ones stay, and the next looks again.
    }
    return this.#context;
  }
}

interface Texts {
  readonly ca: string;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

function read(files: TlsFiles): Texts {
  return {
    ca: readPem("tls.ca", files.ca),
    cert: files.certificate && readPem("tls.certificate", files.certificate),
    key: files.privateKey && readPem("tls.privateKey", files.privateKey),
  };
}

function readPem(setting: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    throw new ConfigurationError(setting, `${path} can't be read (${code}); check path and rights`);
  }
}

function contextOf({ ca, cert, key }: Texts): SecureContext {
  checkCertificates("tls.ca", ca);
  if (cert !== undefined) {
    checkCertificates("tls.certificate", cert);
  }
  try {
    return createSecureContext({ ca, cert, key, minVersion: "TLSv1.3" });
  } catch {
    throw new ConfigurationError(
      "tls.privateKey",
      "is not the certificate's private key in PEM, without a passphrase",
    );
  }
}

function checkCertificates(setting: string, text: string): void {
  const certificates = text.match(CERTIFICATE) ?? [];
  try {
    for (const certificate of certificates) {
      new X509Certificate(certificate);
    }
  } catch {
    throw new ConfigurationError(setting, "holds a certificate that can't be read; it must be PEM");
  }
  if (certificates.length === 0) {
    throw new ConfigurationError(setting, "holds no certificate; it must be PEM");
  }
}
