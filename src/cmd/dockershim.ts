/** `corten dockershim`: the CRI server on a Docker daemon's Engine API, as cri-dockerd is. */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { sleep } from "../base/async.ts";
import { invalid, messageOf } from "../base/errors.ts";
import { configureLog, log } from "../base/log.ts";
import type { DockershimOptions } from "../dockershim/index.ts";

const usage = `Usage: dockershim [--docker-endpoint unix://SOCKET] [--listen SOCKET] [OPTION…]

  --docker-endpoint            the Docker daemon to run pods on (default unix:///var/run/docker.sock)
  --listen                     socket to serve; also --container-runtime-endpoint (default unix:///run/corten/dockershim.sock)
  --root                       checkpoints of pods; also --cri-dockerd-root-directory (default /var/lib/corten/dockershim)
  --pod-infra-container-image  image that pods are held by (default: one of its own, which is not pulled)
  --network-plugin             cni, or "" for the daemon's own network (default cni)
  --cni-conf-dir               (default /etc/cni/net.d)
  --cni-bin-dir                comma-separated (default /opt/cni/bin,/usr/lib/cni)
  --container-logs             link: to the daemon's JSON files; copy: in CRI's format (default link)
  --pod-cidr                   addresses of pods, for a configuration with the capability ipRanges
  --image-pull-progress-deadline  a pull without progress for so long is given up (default 1m0s)
  --streaming-bind-addr        where exec, attach and port-forward are served (default 127.0.0.1:0)
  --streaming-tls-cert, --streaming-tls-key  serve them with TLS
  --streaming-connection-idle-timeout  (default 4h0m0s)
  --debug                      log every failed call; also --log-level debug
`;

/** cri-dockerd's options that change nothing here. */
const ignored = [
  "cni-cache-dir",
  "hairpin-mode",
  "ipv6-dual-stack",
  "network-plugin-mtu",
  "runtime-cgroups",
  "runtime-request-timeout",
] as const;

export async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: {
      "docker-endpoint": { type: "string", default: "unix:///var/run/docker.sock" },
      listen: { type: "string" },
      "container-runtime-endpoint": { type: "string" },
      root: { type: "string" },
      "cri-dockerd-root-directory": { type: "string" },
      "pod-infra-container-image": { type: "string", default: "" },
      "network-plugin": { type: "string", default: "cni" },
      "cni-conf-dir": { type: "string", default: "/etc/cni/net.d" },
      "cni-bin-dir": { type: "string", default: "/opt/cni/bin,/usr/lib/cni" },
      "container-logs": { type: "string", default: "link" },
      "pod-cidr": { type: "string", default: "" },
      "image-pull-progress-deadline": { type: "string", default: "1m0s" },
      "streaming-bind-addr": { type: "string", default: "127.0.0.1:0" },
      "streaming-tls-cert": { type: "string" },
      "streaming-tls-key": { type: "string" },
      "streaming-connection-idle-timeout": { type: "string", default: "4h0m0s" },
      debug: { type: "boolean" },
      "log-level": { type: "string", default: "info" },
      help: { type: "boolean", short: "h" },
      ...(Object.fromEntries(ignored.map((name) => [name, { type: "string" }])) as Record<
        (typeof ignored)[number],
        { type: "string" }
      >),
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  configureLog({ level: values.debug || values["log-level"] === "debug" ? "debug" : "info" });
  process.on("unhandledRejection", (error) => log.error("unhandled", { error: messageOf(error) }));
  const [{ openDockershim }, { EngineClient }, { listen }, { milliseconds }] = await Promise.all([
    import("../dockershim/index.ts"),
    import("../engine/client.ts"),
    import("../containerd/server.ts"),
    import("../cri/config.ts"),
  ]);
  const plugin = values["network-plugin"];
  if (plugin !== "cni" && plugin !== "")
    throw invalid(`unknown network plugin ${JSON.stringify(plugin)}: there are "cni" and ""`);
  const logs = values["container-logs"];
  if (logs !== "link" && logs !== "copy")
    throw invalid(`--container-logs is "link" or "copy", not ${JSON.stringify(logs)}`);
  const certificate = values["streaming-tls-cert"];
  const key = values["streaming-tls-key"];
  if ((certificate === undefined) !== (key === undefined))
    throw invalid("--streaming-tls-cert and --streaming-tls-key need each other");
  const docker = socketPath(values["docker-endpoint"], "--docker-endpoint");
  const client = new EngineClient({ endpoint: { kind: "unix", path: docker }, hostName: `unix://${docker}` });
  await negotiate(client);
  const options: DockershimOptions = {
    client,
    root: values.root ?? values["cri-dockerd-root-directory"] ?? "/var/lib/corten/dockershim",
    pauseImage: values["pod-infra-container-image"],
    networkPlugin: plugin,
    cni: { confDir: values["cni-conf-dir"], binDirs: values["cni-bin-dir"].split(",").filter(Boolean) },
    copyLogs: logs === "copy",
    podCidr: values["pod-cidr"],
    stream: {
      ...bindAddress(values["streaming-bind-addr"]),
      idleTimeout: milliseconds(values["streaming-connection-idle-timeout"]),
      ...(certificate !== undefined && key !== undefined
        ? { tls: { certificate: readFileSync(certificate, "utf8"), key: readFileSync(key, "utf8") } }
        : {}),
    },
    pullDeadline: milliseconds(values["image-pull-progress-deadline"]),
  };
  const socket = socketPath(
    values.listen ?? values["container-runtime-endpoint"] ?? "/run/corten/dockershim.sock",
    "--listen",
  );
  const shim = await openDockershim(options);
  const server = await listen(shim.handler, socket);
  log.info("serving...", { address: socket, docker, apiVersion: client.apiVersion });
  const signal = await new Promise<string>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
  log.info(`exiting on ${signal}`);
  await server.close();
  await shim.close();
  client[Symbol.dispose]();
  process.exit(0);
}

/** A daemon that starts at the same time is waited for. */
async function negotiate(client: import("../engine/client.ts").EngineClient): Promise<void> {
  for (let left = 60; ; left--) {
    try {
      await client.negotiate();
      return;
    } catch (error) {
      if (left === 0) throw error;
      if (left === 60) log.info("waiting for the Docker daemon", { error: messageOf(error) });
      await sleep(500);
    }
  }
}

function socketPath(endpoint: string, option: string): string {
  const path = endpoint.replace(/^unix:\/\//, "");
  // Its containers' namespaces, logs and DNS files are looked into: the daemon is on this machine.
  if (!path.startsWith("/")) throw invalid(`${option} is not a unix socket: ${endpoint}`);
  return path;
}

/** `address:port`, with either of them empty. */
function bindAddress(text: string): { address: string; port: number } {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?$/.exec(text);
  if (!match || Number(match[3] ?? 0) > 65535) throw invalid(`--streaming-bind-addr is no address: ${text}`);
  return { address: match[1] ?? (match[2] || "0.0.0.0"), port: Number(match[3] ?? 0) };
}
