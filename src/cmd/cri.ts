/** `corten cri`: the CRI server beside a containerd, ours or another. */
import { parseArgs } from "node:util";
import { messageOf } from "../base/errors.ts";
import { configureLog, log } from "../base/log.ts";

const usage = `Usage: cri [--containerd SOCKET] [--listen SOCKET] [--root DIR] [--state DIR] [--config FILE] [--debug]

  --containerd  the containerd to run pods on (default /run/containerd/containerd.sock)
  --listen      socket to serve (default /run/corten/cri.sock)
  --root        persistent state (default /var/lib/corten/cri)
  --state       runtime state (default /run/corten/cri)
  -c, --config  containerd's config.toml: the keys of its CRI plugin are used
  --debug       log every failed call
`;

export async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: {
      containerd: { type: "string", default: "/run/containerd/containerd.sock" },
      listen: { type: "string", default: "/run/corten/cri.sock" },
      root: { type: "string", default: "/var/lib/corten/cri" },
      state: { type: "string", default: "/run/corten/cri" },
      config: { type: "string", short: "c" },
      debug: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  configureLog({ level: values.debug ? "debug" : "info" });
  process.on("unhandledRejection", (error) => log.error("unhandled", { error: messageOf(error) }));
  const [
    { defaultConfig, kubernetesNamespace, openCri, readConfig },
    { connectContainerd },
    { resolverFor },
    { listen },
  ] = await Promise.all([
    import("../cri/index.ts"),
    import("../containerd/client/index.ts"),
    import("./cri/resolver.ts"),
    import("../containerd/server.ts"),
  ]);
  const { config } = readConfig(values.config, defaultConfig(values.root, values.state));
  const client = await connectContainerd(values.containerd, kubernetesNamespace);
  const cri = await openCri({ client, config, resolver: resolverFor(config) });
  const server = await listen(cri.handler, values.listen);
  log.info("serving...", { address: values.listen, containerd: values.containerd });
  const signal = await new Promise<string>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
  log.info(`exiting on ${signal}`);
  await server.close();
  await cri.close();
  client.close();
  process.exit(0);
}
