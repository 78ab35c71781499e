/** Network namespaces of RUN steps: on the default bridge, kept for the next step for a moment, or on a user's network. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { BuildNetwork, BuildSandbox } from "../../build/types.ts";
import { hostsFile, readHostResolvConf, resolvConf, type Sandbox } from "../../network/index.ts";
import { hostsPath, resolvConfPath } from "../container/paths.ts";
import { runningContainer } from "../container/spec-input.ts";
import type { Daemon } from "../daemon.ts";

interface Connected {
  id: string;
  sandbox: Sandbox;
  address: string;
}

/**
 * How long a sandbox waits for another step. Processes of a step end with its PID namespace and have no right to change
 * the network, so that the next step finds it as it was.
 */
const idleMilliseconds = 2000;

/** Endpoints of steps have ids that begin with this; a daemon's successor releases them like those of dead containers. */
const idPrefix = "build";

export interface BuildNetworks extends BuildNetwork {
  close(): Promise<void>;
}

export function buildNetwork(daemon: Daemon): BuildNetworks {
  const idle: Array<{ connected: Connected; timer: ReturnType<typeof setTimeout> }> = [];

  const release = (id: string) =>
    daemon.networks
      .release(id)
      .catch((error) => log.warn("cannot release a build step's network", { id, error: messageOf(error) }));

  async function connect(network: string): Promise<Connected> {
    const id = `${idPrefix}${randomBytes(32).toString("hex").slice(idPrefix.length)}`;
    const sandbox = daemon.networks.createSandbox(id, network);
    try {
      const endpoint = await daemon.networks.attach({
        network,
        containerId: id,
        containerName: id.slice(0, 12),
        sandbox,
      });
      return { id, sandbox, address: endpoint.ipAddress };
    } catch (error) {
      await release(id);
      throw error;
    }
  }

  function connectDefault(): Connected | Promise<Connected> {
    const waiting = idle.pop();
    if (!waiting) return connect("bridge");
    clearTimeout(waiting.timer);
    return waiting.connected;
  }

  function keep(connected: Connected): void {
    const entry = {
      connected,
      timer: setTimeout(() => {
        idle.splice(idle.indexOf(entry), 1);
        void release(connected.id);
      }, idleMilliseconds),
    };
    entry.timer.unref();
    idle.push(entry);
  }

  const files = (
    options: { extraHosts: readonly string[]; hostname: string },
    addresses: string[],
    base?: string,
  ) => {
    const gateway = daemon.networks.list().find((network) => network.name === "bridge")?.ipam
      .config[0]?.gateway;
    return {
      hosts: hostsFile({
        hostname: options.hostname,
        addresses,
        extraHosts: options.extraHosts,
        ...(gateway === undefined ? {} : { hostGateway: gateway }),
        ...(base === undefined ? {} : { base }),
      }),
      resolvConf: resolvConf({
        base: readHostResolvConf(),
        nameservers: daemon.config.dns,
        search: daemon.config.dnsSearch,
        options: daemon.config.dnsOptions,
        hostNetwork: base !== undefined,
      }),
    };
  };

  return {
    async open(mode, options): Promise<BuildSandbox> {
      const nothing = async () => {};
      if (mode === "host")
        return { path: undefined, ...files(options, [], readText("/etc/hosts")), close: nothing };
      if (mode === "none" || (mode === "default" && daemon.config.bridge === "none"))
        return { path: "private", ...files(options, []), close: nothing };
      const network = mode.startsWith("network:") ? mode.slice("network:".length) : undefined;
      if (mode !== "default" && network === undefined) {
        const other = runningContainer(daemon, mode, "network");
        return {
          path: other.record.host.NetworkMode === "host" ? undefined : `/proc/${other.state.pid}/ns/net`,
          hosts: readText(hostsPath(daemon, other.id)),
          resolvConf: readText(resolvConfPath(daemon, other.id)),
          close: nothing,
        };
      }
      const connected = await (network === undefined ? connectDefault() : connect(network));
      // One that is kept would stand in the way of who removes a network.
      const close = async () =>
        network !== undefined || daemon.closing ? await release(connected.id) : keep(connected);
      try {
        return { path: connected.sandbox.path, ...files(options, [connected.address]), close };
      } catch (error) {
        await close();
        throw error;
      }
    },
    async close() {
      for (const { connected, timer } of idle.splice(0)) {
        clearTimeout(timer);
        await release(connected.id);
      }
    },
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
