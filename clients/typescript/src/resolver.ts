import { lookup } from "node:dns/promises";

import { experimental, status, type ChannelOptions } from "@grpc/grpc-js";

import { parseTargets, targetText, type Target } from "./target.js";

/** The scheme of a gRPC target that lists several of ours. */
export const SCHEME = "privyseal";

/** The channel option that holds the {@link Hosts} to keep up to date. */
export const HOSTS_OPTION = "privyseal.hosts";

/** Which hosts of the targets an address, `ip:port`, was found for. */
export type Hosts = Map<string, readonly string[]>;

const BETWEEN_LOOKUPS_MS = 1_000;

type Listener = experimental.ResolverListener;
type Address = Target & { readonly host: string };

/** Gives gRPC all addresses of all targets, each as a place of its own for `round_robin`. */
class TargetsResolver implements experimental.Resolver {
  readonly #targets: readonly Target[];
  readonly #listener: Listener;
  readonly #hosts: Hosts;
  // The last addresses of each target: a name that can't be looked up for a while keeps them.
  readonly #known = new Map<Target, readonly Address[]>();
  #given = "";
  #timer: NodeJS.Timeout | undefined;
  #again = false;
  #looking = false;
  // Counts the lives of this resolver, so that a look-up from before `destroy` tells nothing.
  #life = 0;

  constructor(target: experimental.GrpcUri, listener: Listener, options: ChannelOptions) {
    this.#targets = parseTargets(target.path.split(","));
    this.#listener = listener;
    this.#hosts = options[HOSTS_OPTION] as Hosts;
  }

  static getDefaultAuthority(target: experimental.GrpcUri): string {
    return target.path.split(",", 1)[0] ?? "";
  }

  updateResolution(): void {
    if (this.#looking || this.#timer !== undefined) {
      this.#again = true;
    } else {
      void this.#resolve();
    }
  }

  destroy(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#again = false;
    this.#looking = false;
    this.#given = "";
    this.#life += 1;
  }

  async #resolve(): Promise<void> {
    const life = this.#life;
    this.#looking = true;
    this.#again = false;
    const failed: string[] = [];
    await Promise.all(
      this.#targets.map(async (target) => {
        try {
          this.#known.set(target, await addressesOf(target));
        } catch {
          failed.push(targetText(target));
        }
      }),
    );
    if (life !== this.#life) {
      return;
    }
    this.#looking = false;
    this.#again ||= failed.length > 0;
    this.#tell(failed);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#again) {
        void this.#resolve();
      }
    }, BETWEEN_LOOKUPS_MS).unref();
  }

  #tell(failed: readonly string[]): void {
    const addresses = new Map<string, Address>();
    this.#hosts.clear();
    for (const target of this.#targets) {
      for (const address of this.#known.get(target) ?? []) {
        const text = targetText(address);
        addresses.set(text, address);
        this.#hosts.set(text, [...(this.#hosts.get(text) ?? []), hostOf(target)]);
      }
    }
    if (addresses.size === 0) {
      const details = `${failed.join(", ")} can't be looked up; check the name and the DNS`;
      const error = experimental.statusOrFromError<experimental.Endpoint[]>({
        code: status.UNAVAILABLE,
        details,
      });
      this.#listener(error, {}, null, "");
      return;
    }
    const given = [...addresses.keys()].sort().join();
    if (given !== this.#given) {
      this.#given = given;
      const endpoints = [...addresses.values()].map((address) => ({ addresses: [address] }));
      this.#listener(experimental.statusOrFromValue(endpoints), {}, null, "");
    }
  }
}

function hostOf(target: Target): string {
  return "host" in target ? target.host : "localhost";
}

async function addressesOf(target: Target): Promise<Address[]> {
  if ("path" in target) {
    return [];
  }
  const found = await lookup(target.host, { all: true });
  return found.map(({ address }) => ({ host: address, port: target.port }));
}

experimental.registerResolver(SCHEME, TargetsResolver);
