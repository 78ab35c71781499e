/**
 * A CRI server of the test's own: Debian's containerd with its CRI plugin, or ours; own roots, own CNI network, and a
 * registry with the image its pods are held by. `crictl` is ours.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { endWhenAbandoned } from "./abandoned.ts";
import { claimOne } from "./claims.ts";
import { corten, leftovers, type Output, run, until } from "./engine.ts";
import { startTestRegistry } from "./images.ts";
import { answersAnew } from "./sockets.ts";

/** Debian's containerd, ours, `corten cri` on Debian's, `corten dockershim` on our dockerd or on Debian's, or `corten crio`. */
export type CriKind =
  | "debian"
  | "corten"
  | "corten on debian"
  | "dockershim"
  | "dockershim on docker"
  | "crio";

export interface TestCri extends AsyncDisposable {
  readonly kind: CriKind;
  readonly root: string;
  readonly socket: string;
  readonly busybox: string;
  readonly pid: number;
  crictl(...argv: string[]): Promise<Output>;
  /** The same with something on stdin, or longer. */
  crictlWith(options: { input?: string; timeout?: number }, ...argv: string[]): Promise<Output>;
  /** What starts crictl against this server. */
  readonly command: readonly string[];
  /** Succeeds, or throws what was said; gives stdout without its end of line. */
  ok(...argv: string[]): Promise<string>;
  /** Writes a pod's configuration; gives its file. */
  podFile(name: string, more?: Record<string, unknown>): string;
  containerFile(name: string, command: string[], more?: Record<string, unknown>): string;
  /** A running pod. */
  pod(name: string, more?: Record<string, unknown>): Promise<{ id: string; file: string }>;
  /** A running container. */
  container(
    pod: { id: string; file: string },
    name: string,
    command: string[],
    more?: Record<string, unknown>,
  ): Promise<string>;
  kill(): Promise<void>;
  restart(): Promise<void>;
  log(): string;
  /** Mounts, processes, network namespaces and interfaces of this server. */
  traces(): string[];
}

/** `more` is added to config.toml, is a drop-in of crio's configuration, or flags of the dockerd below dockershim. */
export async function startCri(kind: CriKind, more = ""): Promise<TestCri> {
  const root = mkdtempSync(join(tmpdir(), "corten-cri-"));
  const registry = await startTestRegistry();
  // Tests run side by side: the network is this one's alone.
  const slot = await claimOne("subnet", 0, 16_000);
  const bridge = `ct${slot.toString(36)}${basename(root).slice(-6)}`.slice(0, 15);
  const subnet = `10.${192 + (slot >> 8)}.${slot & 255}.0/24`;
  const docker = kind.startsWith("dockershim");
  const foreign = kind === "corten on debian";
  const containerdSocket = join(root, "run/containerd.sock");
  const crio = kind === "crio";
  const socket = docker || foreign || crio ? join(root, "cri.sock") : containerdSocket;
  const below: ChildProcess[] = [];
  let child: ChildProcess | undefined;
  let log = "";

  const copied = await run([
    "skopeo",
    "copy",
    "--insecure-policy",
    "--src-tls-verify=false",
    "--dest-tls-verify=false",
    `docker://${registry.busybox}`,
    `oci:${join(root, "busybox")}:1`,
  ]);
  if (copied.code !== 0) throw new Error(`skopeo: ${copied.stderr}`);
  const pause = await pushPause(root, registry.address);

  mkdirSync(join(root, "cni"));
  mkdirSync(join(root, "logs"));
  writeFileSync(
    join(root, "cni/10-test.conflist"),
    JSON.stringify({
      cniVersion: "0.4.0",
      name: `net-${bridge}`,
      plugins: [
        {
          type: "bridge",
          bridge,
          isGateway: true,
          ipam: {
            type: "host-local",
            dataDir: join(root, "ipam"),
            ranges: [[{ subnet }]],
            routes: [{ dst: "0.0.0.0/0" }],
          },
        },
      ],
    }),
  );
  writeFileSync(
    join(root, "config.toml"),
    `version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"${foreign ? ', "io.containerd.grpc.v1.cri"' : ""}]
[ttrpc]
  address = "${join(root, "run/ttrpc.sock")}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pause}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${join(root, "cni")}"
${more}`,
  );
  const containerd = kind === "corten" ? [...corten, "containerd", "--log-level", "debug"] : ["containerd"];
  containerd.push("--config", join(root, "config.toml"));
  containerd.push("--root", join(root, "lib"), "--state", join(root, "run"), "--address", containerdSocket);
  const beside = [...corten, "cri", "--debug", "--config", join(root, "config.toml"), "--listen", socket];
  beside.push("--containerd", containerdSocket, "--root", join(root, "lib"), "--state", join(root, "run"));
  const dockerSocket = join(root, "docker.sock");
  const dockerd = kind === "dockershim" ? [...corten, "dockerd"] : ["/usr/sbin/dockerd"];
  dockerd.push(
    "--data-root",
    join(root, "lib"),
    "--exec-root",
    join(root, "run"),
    "-H",
    `unix://${dockerSocket}`,
  );
  dockerd.push("--pidfile", join(root, "dockerd.pid"), "--bridge=none", "--iptables=false");
  const shim = [...corten, "dockershim", "--debug", "--docker-endpoint", `unix://${dockerSocket}`];
  shim.push("--listen", socket, "--root", join(root, "shim"), "--pod-infra-container-image", pause);
  shim.push("--cni-bin-dir", "/usr/lib/cni", "--cni-conf-dir", join(root, "cni"));
  writeFileSync(
    join(root, "crio.conf"),
    `[crio]
root = "${join(root, "lib")}"
runroot = "${join(root, "run")}"
version_file = "${join(root, "run/version")}"
clean_shutdown_file = "${join(root, "lib/clean.shutdown")}"
[crio.api]
listen = "${socket}"
[crio.runtime]
log_level = "debug"
cgroup_manager = "cgroupfs"
[crio.image]
pause_image = "${pause}"
[crio.network]
network_dir = "${join(root, "cni")}"
plugin_dirs = ["/usr/lib/cni"]
`,
  );
  const server = [
    ...corten,
    "crio",
    "--config",
    join(root, "crio.conf"),
    "--config-dir",
    join(root, "crio.d"),
  ];
  if (crio && more !== "") {
    mkdirSync(join(root, "crio.d"));
    writeFileSync(join(root, "crio.d/10-test.conf"), more);
  }
  if (docker) dockerd.push(...more.split(" ").filter(Boolean));
  const launch = async (argv: string[], listening: string): Promise<ChildProcess> => {
    const answering = answersAnew(listening);
    const started = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
    const collect = (text: string) => {
      log += text;
    };
    started.stdout.setEncoding("utf8").on("data", collect);
    started.stderr.setEncoding("utf8").on("data", collect);
    await until(argv.join(" "), () => {
      if (started.exitCode !== null) throw new Error(`${argv[0]} ended with ${started.exitCode}:\n${log}`);
      return answering();
    });
    return started;
  };
  const start = async () => {
    if (docker && below.length === 0) below.push(await launch(dockerd, dockerSocket));
    if (foreign && below.length === 0) below.push(await launch(containerd, containerdSocket));
    child = await launch(docker ? shim : foreign ? beside : crio ? server : containerd, socket);
    await until("the CRI service with a network", async () => {
      const { code, stdout } = await cri.crictl("info", "-q");
      return code === 0 && !/"status": false/.test(stdout);
    });
  };
  const ended = async (one = child) => {
    if (!one || one.exitCode !== null || one.signalCode !== null) return;
    await new Promise((done) => one.once("exit", done));
  };
  const end = async (one: ChildProcess) => {
    one.kill("SIGTERM");
    const timer = setTimeout(() => one.kill("SIGKILL"), 10_000);
    await ended(one);
    clearTimeout(timer);
  };
  const configPath = join(root, "crictl.yaml");
  writeFileSync(configPath, `runtime-endpoint: unix://${socket}\ntimeout: 120\nmax-retries: 0\n`);
  const command = [...corten, "crictl", "--config", configPath];
  const over = endWhenAbandoned(async () => {
    for (const one of [child, ...below]) one?.kill("SIGKILL");
    sweep(root);
    spawnSync("ip", ["link", "del", bridge], { stdio: "ignore" });
  });
  const cri: TestCri = {
    kind,
    root,
    socket,
    busybox: registry.busybox,
    command,
    get pid() {
      return child!.pid!;
    },
    crictl: (...args) => run([...command, ...args]),
    crictlWith: (options, ...args) => run([...command, ...args], options),
    async ok(...args) {
      const { code, stdout, stderr } = await cri.crictl(...args);
      if (code !== 0) throw new Error(`crictl ${args.join(" ")}: ${code}\n${stdout}${stderr}`);
      return stdout.replace(/\n$/, "");
    },
    podFile(name, more = {}) {
      const file = join(root, `pod-${name}.json`);
      writeFileSync(
        file,
        JSON.stringify({
          metadata: { name, namespace: "default", uid: `uid-${name}`, attempt: 0 },
          hostname: name,
          log_directory: join(root, "logs"),
          linux: { cgroup_parent: `/${basename(root)}` },
          ...more,
        }),
      );
      return file;
    },
    containerFile(name, words, more = {}) {
      const file = join(root, `container-${name}.json`);
      writeFileSync(
        file,
        JSON.stringify({
          metadata: { name, attempt: 0 },
          image: { image: registry.busybox },
          command: words,
          log_path: `${name}.log`,
          linux: {},
          ...more,
        }),
      );
      return file;
    },
    async pod(name, more) {
      const file = cri.podFile(name, more);
      return { id: await cri.ok("runp", file), file };
    },
    async container(pod, name, words, more) {
      const id = await cri.ok("create", pod.id, cri.containerFile(name, words, more), pod.file);
      await cri.ok("start", id);
      return id;
    },
    async kill() {
      child?.kill("SIGKILL");
      await ended();
    },
    async restart() {
      await cri.kill();
      await start();
    },
    log: () => log,
    traces: () => [
      ...leftovers(root).filter((line) => !line.startsWith(`process ${child?.pid} `)),
      ...readdirSync("/sys/class/net").filter((name) => name === bridge || ports(bridge).includes(name)),
      ...cgroups(basename(root)),
    ],
    async [Symbol.asyncDispose]() {
      try {
        if (child && child.exitCode === null && child.signalCode === null) {
          await run([...command, "rmp", "-f", "-a"], { timeout: 60_000 });
          await end(child);
        }
        for (const one of below) await end(one);
        const gone = () => leftovers(root).filter((line) => !line.startsWith("mount"));
        await until("the end of what ran", () => gone().length === 0, 60).catch(() => {});
        const left = gone();
        if (left.length > 0) throw new Error(`${kind} left behind:\n${left.join("\n")}\n${log}`);
      } finally {
        sweep(root);
        spawnSync("ip", ["link", "del", bridge], { stdio: "ignore" });
        over();
        await registry[Symbol.asyncDispose]();
      }
    },
  };
  try {
    await start();
  } catch (error) {
    await Promise.resolve(cri[Symbol.asyncDispose]()).catch(() => {});
    throw error;
  }
  return cri;
}

/** The busybox image once more, with a command that waits. */
async function pushPause(root: string, address: string): Promise<string> {
  const layout = join(root, "busybox");
  const json = (digest: string) =>
    JSON.parse(readFileSync(join(layout, "blobs/sha256", digest.slice("sha256:".length)), "utf8"));
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  const manifest = json(index.manifests[0].digest);
  const config = json(manifest.config.digest);
  config.config = { ...config.config, Entrypoint: ["/bin/sleep", "2147483647"], Cmd: undefined };
  const put = (value: unknown) => {
    const text = JSON.stringify(value);
    const hex = new Bun.CryptoHasher("sha256").update(text).digest("hex");
    writeFileSync(join(layout, "blobs/sha256", hex), text);
    return { digest: `sha256:${hex}`, size: Buffer.byteLength(text) };
  };
  manifest.config = { ...manifest.config, ...put(config) };
  index.manifests[0] = { ...index.manifests[0], ...put(manifest) };
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
  const reference = `${address}/pause:1`;
  const pushed = await run([
    "skopeo",
    "copy",
    "--insecure-policy",
    "--dest-tls-verify=false",
    `oci:${layout}:1`,
    `docker://${reference}`,
  ]);
  if (pushed.code !== 0) throw new Error(`skopeo: ${pushed.stderr}`);
  return reference;
}

function ports(bridge: string): string[] {
  try {
    return readdirSync(`/sys/class/net/${bridge}/brif`);
  } catch {
    return [];
  }
}

function cgroups(name: string): string[] {
  return readdirSync("/sys/fs/cgroup").flatMap((controller) => {
    try {
      return readdirSync(join("/sys/fs/cgroup", controller, name), { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => join(controller, name, entry.name));
    } catch {
      return [];
    }
  });
}

function sweep(root: string): void {
  for (const line of leftovers(root)) {
    const pid = line.match(/^process (\d+)/)?.[1];
    if (pid) spawnSync("kill", ["-9", pid]);
  }
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(`${root}/`));
  for (const path of mounts.reverse()) spawnSync("umount", ["-l", path]);
  for (const controller of readdirSync("/sys/fs/cgroup")) {
    try {
      rmdirSync(join("/sys/fs/cgroup", controller, basename(root)));
    } catch {
      // Not there.
    }
  }
  rmSync(root, { recursive: true, force: true });
}
