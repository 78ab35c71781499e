/** The runtime's side of CNI: which network pods are on, and the calls of its plugins (CNI specification 1.0, sections 1 to 4). */
import { type FSWatcher, readdirSync, readFileSync, watch } from "node:fs";
import { join } from "node:path";
import { CortenError, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { CriConfig } from "../config.ts";
import { callPlugin } from "./plugin.ts";
import type { AddedNetwork, CniResult, NetworkList, PluginConfig } from "./types.ts";

export interface PodNetworkRequest {
  args: Record<string, string>;
  /** What plugins may ask for by their `capabilities`. */
  runtimeConfig: Record<string, unknown>;
}

/** The network of the pods: the first configuration of the directory, followed as it changes. */
export class Cni {
  readonly #config: CriConfig["cni"];
  #watcher: FSWatcher | undefined;
  #network: NetworkList | undefined;
  #problem = "no network config found";
  #stale = true;

  /** By their directories: the networks of runtimes that have their own. */
  readonly #others = new Map<string, Cni>();

  constructor(config: CriConfig["cni"]) {
    this.#config = config;
  }

  /** The networks of a runtime's pods: its own directory's, or these. */
  at(confDir: string | undefined): Cni {
    if (confDir === undefined || confDir === this.#config.confDir) return this;
    const { binDirs } = this.#config;
    const other = this.#others.get(confDir) ?? new Cni({ binDirs, confDir });
    this.#others.set(confDir, other);
    return other;
  }

  /** The network in effect; undefined with the reason in `problem`. */
  get network(): NetworkList | undefined {
    this.#follow();
    if (this.#stale || !this.#watcher) this.#load();
    return this.#network;
  }

  get problem(): string {
    return this.#problem;
  }

  /** Watches the directory, once it is there; until then every question looks again. */
  #follow(): void {
    if (this.#watcher) return;
    try {
      this.#watcher = watch(this.#config.confDir, { persistent: false }, () => {
        this.#stale = true;
      });
      this.#watcher.on("error", () => this.#unwatch());
      this.#stale = true;
    } catch {
      this.#unwatch();
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #load(): void {
    this.#stale = false;
    this.#network = undefined;
    const { confDir } = this.#config;
    let names: string[];
    try {
      names = readdirSync(confDir)
        .filter((name) => /\.(conf|conflist|json)$/.test(name))
        .sort();
    } catch (error) {
      this.#problem = `cni config load failed: ${messageOf(error)}`;
      return;
    }
    this.#problem = `cni config load failed: no network config found in ${confDir}: cni plugin not initialized: failed to load cni config`;
    for (const name of names) {
      try {
        const network = parseNetwork(readFileSync(join(confDir, name), "utf8"));
        if (this.#config.network !== undefined && network.name !== this.#config.network) continue;
        this.#network = network;
        return;
      } catch (error) {
        this.#problem = `cni config load failed: ${name}: ${messageOf(error)}`;
        log.warn("a CNI configuration is not used", { file: name, error: messageOf(error) });
      }
    }
  }

  /** What an ADD will be: to be on record before it, so that a DEL is possible whatever happens in between. */
  plan(request: PodNetworkRequest): AddedNetwork {
    const list = this.network;
    if (!list) throw new CortenError("unknown", "cni plugin not initialized");
    const args = Object.entries(request.args)
      .map(([key, value]) => `${key}=${value}`)
      .join(";");
    // What no plugin asks for need not be on record.
    const runtimeConfig = Object.fromEntries(
      Object.entries(request.runtimeConfig).filter(([name]) =>
        list.plugins.some(({ capabilities }) => capabilities?.[name] === true),
      ),
    );
    return { list, result: {}, args, runtimeConfig };
  }

  /** Adds a pod to the network; the result goes into `planned`. */
  async add(planned: AddedNetwork, containerId: string, netns: string): Promise<void> {
    for (const plugin of planned.list.plugins)
      planned.result = await this.#call("ADD", planned, plugin, containerId, netns);
  }

  /** DEL in reverse; every plugin is asked, the first failure is thrown. `netns` is empty when it is gone. */
  async remove(added: AddedNetwork, containerId: string, netns: string): Promise<void> {
    let failure: unknown;
    for (const plugin of added.list.plugins.toReversed()) {
      try {
        await this.#call("DEL", added, plugin, containerId, netns);
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
  }

  #call(
    command: "ADD" | "DEL",
    { list, result, args, runtimeConfig }: AddedNetwork,
    plugin: PluginConfig,
    containerId: string,
    netns: string,
  ): Promise<CniResult> {
    const { capabilities, ...rest } = plugin;
    const granted = Object.fromEntries(
      Object.entries(runtimeConfig).filter(([name]) => capabilities?.[name] === true),
    );
    const input = {
      ...rest,
      cniVersion: list.cniVersion,
      name: list.name,
      ...(Object.keys(granted).length > 0 ? { runtimeConfig: granted } : {}),
      ...(Object.keys(result).length > 0 ? { prevResult: result } : {}),
    };
    return callPlugin(this.#config.binDirs, plugin.type, input, {
      CNI_COMMAND: command,
      CNI_CONTAINERID: containerId,
      CNI_NETNS: netns,
      CNI_IFNAME: "eth0",
      CNI_ARGS: args,
      CNI_PATH: this.#config.binDirs.join(":"),
    });
  }

  close(): void {
    this.#unwatch();
    for (const other of this.#others.values()) other.close();
  }
}

/** A configuration list, or a single configuration as a list of one. */
export function parseNetwork(text: string): NetworkList {
  const document = JSON.parse(text) as Partial<NetworkList> & PluginConfig;
  const plugins = Array.isArray(document.plugins) ? document.plugins : [document];
  if (typeof document.name !== "string" || document.name === "") throw new Error("no name");
  if (plugins.length === 0) throw new Error("no plugins");
  for (const plugin of plugins)
    if (typeof plugin?.type !== "string" || !/^[\w.-]+$/.test(plugin.type))
      throw new Error("a plugin has no type");
  return { cniVersion: document.cniVersion ?? "0.2.0", name: document.name, plugins };
}

/** The pod's addresses on eth0, without their prefix lengths. */
export function addressesOf(result: CniResult): string[] {
  const eth0 = result.interfaces?.findIndex((entry) => entry.name === "eth0" && entry.sandbox) ?? -1;
  const found = (result.ips ?? [])
    .filter((ip) => ip.interface === undefined || eth0 < 0 || ip.interface === eth0)
    .map((ip) => ip.address);
  const old = [result.ip4?.ip, result.ip6?.ip].filter((ip) => ip !== undefined);
  return [...found, ...old].map((address) => address.split("/")[0]!);
}
