/** `corten containerd`: the daemon with containerd's API on a unix socket. */
import { parseArgs } from "node:util";
import { messageOf } from "../base/errors.ts";
import { configureLog, levelsByName, log } from "../base/log.ts";

const usage = `Usage: containerd [--root DIR] [--state DIR] [--address SOCKET] [--log-level LEVEL]

  --root        persistent state (default /var/lib/corten/containerd)
  --state       runtime state (default /run/corten/containerd)
  -a, --address socket to serve (default /run/corten/containerd/containerd.sock)
  -l, --log-level  debug, info, warn, error, fatal
  -c, --config  containerd's config.toml: the keys of its CRI plugin are used
  -v, --version
`;

export async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: {
      root: { type: "string", default: "/var/lib/corten/containerd" },
      state: { type: "string", default: "/run/corten/containerd" },
      address: { type: "string", short: "a", default: "/run/corten/containerd/containerd.sock" },
      "log-level": { type: "string", short: "l", default: "info" },
      config: { type: "string", short: "c" },
      version: { type: "boolean", short: "v" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  if (values.version) {
    const { version } = await import("../containerd/version.ts");
    process.stdout.write(`containerd github.com/containerd/containerd ${version} corten\n`);
    return 0;
  }
  const level = levelsByName[values["log-level"]];
  if (!level) {
    process.stderr.write(`containerd: not a valid log level: "${values["log-level"]}"\n`);
    return 1;
  }
  configureLog({ level });
  // One request's mistake must not take the others down with it.
  process.on("unhandledRejection", (error) => log.error("unhandled", { error: messageOf(error) }));
  const { openContainerd } = await import("../containerd/daemon.ts");
  const { serve } = await import("../containerd/server.ts");
  const { readShimSettings } = await import("./containerd/shim-settings.ts");
  const { openCriPlugin } = await import("./cri/plugin.ts");
  const cri = openCriPlugin(values);
  const daemon = await openContainerd({
    root: values.root,
    state: values.state,
    address: values.address,
    shims: { ...readShimSettings(values.config), debug: level === "debug" },
  });
  const server = await serve(daemon.services, values.address, cri ? [cri.serving(daemon.services)] : []);
  (await import("../sys/priority.ts")).goFirst();
  log.info("serving...", { address: values.address });
  const signal = await new Promise<string>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
  log.info(`exiting on ${signal}`);
  await server.close();
  await cri?.close();
  await daemon.close().catch((error) => log.warn("close", { error: messageOf(error) }));
  // Waiting calls of clients that are gone may still hold handles.
  process.exit(0);
}
