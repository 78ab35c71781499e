/** `corten dockerd`: the Engine API, with containerd and networking in the same process unless told otherwise. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { configureLog, log } from "../base/log.ts";
import type { ContainerdClient } from "../containerd/client/index.ts";
import type { DaemonConfig, DockerdParts, HostFacts, Monitors } from "../dockerd/index.ts";
import { parseFlags, settingsOf, usage } from "./dockerd/flags.ts";
import { claimPidFile } from "./dockerd/pid-file.ts";

/** containerd's namespace for what the Engine API makes, the one Docker uses. */
const namespace = "moby";

export async function main(argv: string[]): Promise<number> {
  const flags = parseFlags(argv);
  if (flags["help"]) {
    process.stdout.write(usage);
    return 0;
  }
  if (flags["version"]) {
    const { product } = await import("../dockerd/product.ts");
    process.stdout.write(`Docker version ${product.version}, build corten\n`);
    return 0;
  }
  const settings = settingsOf(flags);
  const { config } = settings;
  configureLog({ level: settings.logLevel, format: settings.logFormat });
  // One request's mistake must not take the daemon down.
  process.on("unhandledRejection", (error) => log.error("unhandled", { error: messageOf(error) }));
  const tls = config.tls && (await import("../dockerd/tls.ts")).readTls(config.tls);
  const releasePidFile = claimPidFile(settings.pidFile);
  const stopped = untilSignal();
  let opening: ReturnType<typeof openNetworks> | undefined;
  try {
    opening = openNetworks(settings);
    const [{ createDockerd }, containerd, { networks }, monitors, { makeHost }] = await Promise.all([
      import("../dockerd/index.ts"),
      openContainerdFor(config),
      opening,
      openMonitors(),
      import("./dockerd/host.ts"),
    ]);
    const parts: DockerdParts = {
      config,
      containerd: containerd.client,
      inProcess: config.containerd === undefined,
      networks,
      monitors,
      host: makeHost(config),
      facts: await readFacts(),
      apparmor: (await import("../sys/apparmor/machine.ts")).appArmor,
      forgetCode: (await import("../sys/text.ts")).forgetCode,
    };
    const dockerd = await createDockerd(parts);
    for (const host of config.hosts) {
      if (host.startsWith("tcp://") && !config.tls?.verify)
        log.warn(
          "Binding to IP address without --tlsverify is insecure and gives root access on this machine to everyone who has access to your network.",
          { host },
        );
    }
    for (const host of config.hosts) log.info("API listen", { host: await dockerd.listen(host, tls) });
    networks.prepare();
    (await import("../sys/priority.ts")).goFirst();
    log.info("Daemon has completed initialization", { root: config.dataRoot });
    const signal = await stopped;
    log.info(`ending on ${signal}; containers go on`);
    await dockerd.close();
    await containerd.close();
  } catch (error) {
    process.stderr.write(`failed to start daemon: ${messageOf(error)}\n`);
    // Its bridge and its table are the kernel's, and would outlive it.
    await opening?.then(({ abandon }) => abandon()).catch(() => {});
    // What was opened until here holds handles, and nobody will close them.
    releasePidFile();
    process.exit(1);
  }
  releasePidFile();
  // Waiting calls of clients that are gone may still hold handles.
  process.exit(0);
}

function untilSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) {
      let seen = 0;
      process.on(name, () => {
        // Who asks three times wants it now.
        if (++seen >= 3) process.exit(130);
        resolve(name);
      });
    }
    process.on("SIGHUP", () => log.info("SIGHUP: configuration is read at start only"));
  });
}

/** Our containerd in this process, also on a socket for `ctr`; or another one by its socket. */
async function openContainerdFor(
  config: DaemonConfig,
): Promise<{ client: ContainerdClient; close: () => Promise<void> }> {
  const { connectContainerd, inProcess } = await import("../containerd/client/index.ts");
  if (config.containerd !== undefined) {
    const client = await connectContainerd(config.containerd, namespace);
    await ensureNamespace(client);
    return { client, close: async () => client.close() };
  }
  const { openContainerd } = await import("../containerd/daemon.ts");
  const containerd = await openContainerd({
    root: join(config.dataRoot, "containerd"),
    state: join(config.execRoot, "containerd"),
  });
  const client = inProcess(containerd.services, namespace);
  await ensureNamespace(client);
  const socket = join(config.execRoot, "containerd", "containerd.sock");
  let server: Promise<{ close(): Promise<void> }> | undefined;
  // The socket is for others: it must not delay the first answer to our own clients.
  const timer = setTimeout(() => {
    server = import("../containerd/server.ts").then(({ serve }) => serve(containerd.services, socket));
    server.catch((error) =>
      log.warn("containerd's socket is not served", { socket, error: messageOf(error) }),
    );
  }, 200);
  return {
    client,
    async close() {
      clearTimeout(timer);
      await (await server?.catch(() => undefined))?.close();
      await containerd.close();
    },
  };
}

async function ensureNamespace(client: ContainerdClient): Promise<void> {
  await client.namespaces.create({ namespace: { name: namespace, labels: {} } }).catch((error) => {
    if (!/already exists/.test(messageOf(error))) throw error;
  });
}

async function openNetworks({ config, bip, mtu }: ReturnType<typeof settingsOf>) {
  const { kernelNames, NetworkManager } = await import("../network/index.ts");
  const bridge = `/sys/class/net/${kernelNames(config.dataRoot).bridge}`;
  const isNew = !existsSync(bridge);
  const networks = NetworkManager.open({
    root: config.dataRoot,
    execRoot: config.execRoot,
    ...(config.bridge === undefined || config.bridge === "none" ? {} : { bridgeName: config.bridge }),
    ...(bip === undefined ? {} : { bip }),
    ...(mtu === undefined ? {} : { mtu }),
  });
  return {
    networks,
    /** What was there before belongs to containers, or to a daemon that lives. */
    abandon: () => (isNew ? networks.retire() : networks.close()),
  };
}

/** AT_FDCWD, and S_IFIFO with read and write for us alone. */
const currentDirectory = -100;
const fifoMode = 0o010600;

async function openMonitors(): Promise<Monitors> {
  const { attachMonitor, readExit, spawnMonitor } = await import("../monitor/index.ts");
  return {
    attach: attachMonitor,
    exit: readExit,
    async spawnFifo(options) {
      const { syscall } = await import("../sys/libc.ts");
      for (const path of Object.values(options.fifos))
        syscall("mknodat", [currentDirectory, path, fifoMode, 0], `FIFO ${path}`);
      return spawnMonitor({ ...options, run: { kind: "fifo" } });
    },
  };
}

async function readFacts(): Promise<HostFacts> {
  const { hostDevice } = await import("../dockerd/index.ts");
  const { capabilitiesOfMask } = await import("../oci/capabilities.ts");
  const { cgroupLayout } = await import("../sys/cgroup/index.ts");
  const layout = cgroupLayout();
  const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return {
    capabilities: capabilitiesOfMask(mask),
    cgroupVersion: layout.mode === "v2" ? 2 : 1,
    blkioWeight:
      layout.mode === "v2" ||
      ["blkio.weight", "blkio.bfq.weight"].some((file) =>
        existsSync(join(layout.mounts.get("blkio")?.directory ?? "/nowhere", file)),
      ),
    device: hostDevice,
  };
}
