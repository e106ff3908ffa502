import { Client, credentials, type ChannelOptions } from "@grpc/grpc-js";

import { HOSTS_OPTION, SCHEME, type Hosts } from "./resolver.js";
import type { Settings } from "./client-options.js";
import { targetText } from "./target.js";
import { TlsCredentials } from "./tls-credentials.js";
import { LiveTls } from "./tls-files.js";
import { VERSION } from "./version.js";

const OPTIONS: ChannelOptions = {
  "grpc.primary_user_agent": `privyseal-typescript/${VERSION}`,
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  // gRPC adds up to a fifth to it: 2 s in all.
  "grpc.max_reconnect_backoff_ms": 1_660,
  "grpc.max_receive_message_length": 16 * 1_048_576,
  // A connection is kept through quiet hours, so that the first order after them does not wait.
  "grpc.client_idle_timeout_ms": 2_147_483_647,
  // Connections of one client are not another's: closing it ends them.
  "grpc.use_local_subchannel_pool": 1,
};

/**
 * Opens a channel to the servers. It reads the files for TLS and connects with the first call.
 *
 * @param settings where the servers listen, and how to prove who calls
 * @throws {ConfigurationError} when the files for TLS are not right
 */
export function openChannel(settings: Settings): Client {
  const { targets, tls } = settings;
  const hosts: Hosts = new Map();
  const names = targets.map((target) => ("path" in target ? "localhost" : target.host));
  const proof =
    tls === undefined
      ? credentials.createInsecure()
      : new TlsCredentials(new LiveTls(tls), hosts, names, tls.serverName);
  const texts = targets.map(targetText);
  const isSocket = targets.some((target) => "path" in target);
  const uri = isSocket ? texts.join() : `${SCHEME}:${texts.join()}`;
  return new Client(uri, proof, { ...OPTIONS, [HOSTS_OPTION]: hosts });
}
