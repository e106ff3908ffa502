import { isIP, isIPv6, type Socket } from "node:net";
import { checkServerIdentity, connect, type PeerCertificate } from "node:tls";

import { ChannelCredentials, credentials, type experimental } from "@grpc/grpc-js";

import type { Hosts } from "./resolver.js";
import type { LiveTls } from "./tls-files.js";

const HANDSHAKE_MS = 10_000;

/**
 * TLS as the files say when a connection is made, with the server's certificate checked for the
 * host that the address was found for: with several targets there is not one name for all.
 */
export class TlsCredentials extends ChannelCredentials {
  readonly #tls: LiveTls;
  readonly #hostsOf: (socket: Socket) => readonly string[];

  /**
   * @param tls what the files hold
   * @param hosts which hosts an address stands for
   * @param others the hosts of an address that is not among them
   * @param serverName the name to check for in place of all of them
   */
  constructor(tls: LiveTls, hosts: Hosts, others: readonly string[], serverName?: string) {
    super();
    this.#tls = tls;
    this.#hostsOf = (socket) =>
      serverName === undefined ? (hosts.get(addressOf(socket)) ?? others) : [serverName];
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(): experimental.SecureConnector {
    const none = credentials.createEmpty();
    return {
      connect: (socket) => this.#connect(socket),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => none,
      destroy: () => undefined,
    };
  }

  #connect(socket: Socket): Promise<experimental.SecureConnectResult> {
    const hosts = this.#hostsOf(socket);
    const [first = ""] = hosts;
    return new Promise((resolve, reject) => {
      const secure = connect({
        socket,
        secureContext: this.#tls.current(),
        host: first,
        // An IP address may not stand in SNI.
        ...(isIP(first) === 0 && { servername: first }),
        ALPNProtocols: ["h2"],
        // NODE_TLS_REJECT_UNAUTHORIZED is for others: here goes a token.
        rejectUnauthorized: true,
        checkServerIdentity: (_, certificate) => identityError(hosts, certificate),
      });
      const timer = setTimeout(() => {
        secure.destroy(new Error("the TLS handshake took too long"));
      }, HANDSHAKE_MS).unref();
      const fail = (error?: Error): void => {
        clearTimeout(timer);
        reject(error ?? new Error("the connection was closed in the TLS handshake"));
      };
      secure.once("error", fail);
      secure.once("close", fail);
      secure.once("secureConnect", () => {
        clearTimeout(timer);
        secure.off("close", fail);
        resolve({ socket: secure, secure: true });
      });
      // gRPC listens for errors from here on; one that comes in between must not end the process.
      secure.on("error", () => undefined);
    });
  }
}

function addressOf({ remoteAddress = "", remotePort = 0 }: Socket): string {
  const host = isIPv6(remoteAddress) ? `[${remoteAddress}]` : remoteAddress;
  return `${host}:${remotePort.toString()}`;
}

function identityError(hosts: readonly string[], certificate: PeerCertificate): Error | undefined {
  const errors = hosts.map((host) => checkServerIdentity(host, certificate));
  return errors.includes(undefined) ? undefined : errors[0];
}
