/** A node of its own for each scenario: containerd with CRI, a registry, a CNI bridge, in namespaces of this process. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { ImageService, RuntimeService } from "../../proto/gen/runtime/v1/api_pb.ts";
import { NamespaceMode } from "../../proto/gen/runtime/v1/common_pb.ts";
import { ContainerConfigSchema } from "../../proto/gen/runtime/v1/container_config_pb.ts";
import {
  type PodSandboxConfig,
  PodSandboxConfigSchema,
} from "../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { leftovers, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { answersAnew } from "../helpers/sockets.ts";
import { type Server, type ServerName, servers } from "./cri.servers.ts";

export const sh = (...argv: string[]): string =>
  execFileSync(argv[0]!, argv.slice(1), { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** A message as a plain object. */
export type Init<T extends DescMessage> = Exclude<MessageInitShape<T>, Message>;

export interface Pod {
  id: string;
  config: PodSandboxConfig;
}

export class World implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "corten-cri-"));
  readonly server: Server;
  readonly confDir = join(this.dir, "net.d");
  readonly logs = join(this.dir, "logs");
  readonly cgroupParent = `/corten-cri-test-${process.pid}`;
  runtime!: Client<typeof RuntimeService>;
  images!: Client<typeof ImageService>;
  registry!: TestRegistry;
  log = "";
  #child: ChildProcess | undefined;
  readonly #below: ChildProcess[] = [];
  #sessions: Http2SessionManager | undefined;
  #pods = 0;

  private constructor(server: ServerName) {
    mkdirSync(this.confDir);
    mkdirSync(this.logs);
    this.server = servers[server](this.dir);
  }

  /** Where CRI is served. */
  get socket(): string {
    return this.server.socket;
  }

  static async start(server: ServerName = "corten containerd"): Promise<World> {
    sh("ip", "link", "set", "lo", "up");
    const world = new World(server);
    try {
      world.registry = await startTestRegistry();
      world.writeNetwork();
      await world.startDaemon();
      return world;
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  writeNetwork(): void {
    writeFileSync(
      join(this.confDir, "10-test.conflist"),
      JSON.stringify({
        cniVersion: "1.0.0",
        name: "corten-test",
        plugins: [
          {
            type: "bridge",
            bridge: "cri0",
            isGateway: true,
            ipMasq: false,
            hairpinMode: true,
            ipam: {
              type: "host-local",
              dataDir: join(this.dir, "ipam"),
              ranges: [[{ subnet: "10.86.0.0/24" }]],
              routes: [{ dst: "0.0.0.0/0" }],
            },
          },
          { type: "portmap", capabilities: { portMappings: true } },
        ],
      }),
    );
  }

  async startDaemon(): Promise<void> {
    if (this.#below.length === 0) await this.startBelow();
    const { argv, socket } = this.server.program;
    this.#child = await this.#spawn(argv, socket);
    this.#connect();
  }

  async #spawn(argv: string[], socket: string): Promise<ChildProcess> {
    const answering = answersAnew(socket);
    const child = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text) => {
        this.log += text;
      });
    await until(argv[0]!, () => {
      if (child.exitCode !== null)
        throw new Error(`${argv.join(" ")} ended with ${child.exitCode}:\n${this.log}`);
      return answering();
    });
    return child;
  }

  #connect(): void {
    this.#sessions?.abort();
    this.#sessions = new Http2SessionManager(
      "http://localhost",
      {},
      { createConnection: () => connect(this.socket) },
    );
    const transport = createGrpcTransport({ baseUrl: "http://localhost", sessionManager: this.#sessions });
    this.runtime = createClient(RuntimeService, transport);
    this.images = createClient(ImageService, transport);
  }

  async killDaemon(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await this.#end(this.#child!, signal);
  }

  /** What the server stands on. */
  async startBelow(): Promise<void> {
    for (const { argv, socket } of this.server.below) this.#below.push(await this.#spawn(argv, socket));
  }

  async killBelow(): Promise<void> {
    for (const child of this.#below.splice(0)) await this.#end(child, "SIGKILL");
  }

  async #end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    const ended = new Promise((done) => child.once("exit", done));
    child.kill(signal);
    await ended;
  }

  /** A signal that it goes on after. */
  tellDaemon(signal: NodeJS.Signals): void {
    this.#child!.kill(signal);
  }

  async pull(): Promise<string> {
    const { imageRef } = await this.images.pullImage({ image: { image: this.registry.busybox } });
    return imageRef;
  }

  /** A pod whose containers each have a PID namespace, unless `change` says otherwise. */
  podConfig(change: Init<typeof PodSandboxConfigSchema> = {}): PodSandboxConfig {
    const name = `pod-${this.#pods++}`;
    const onHost = change.linux?.securityContext?.namespaceOptions?.network === NamespaceMode.NODE;
    return create(PodSandboxConfigSchema, {
      metadata: { name, uid: `uid-${name}`, namespace: "test", attempt: 0 },
      // Kubelet names no pod of the host's network.
      hostname: onHost ? "" : name,
      logDirectory: join(this.logs, name),
      labels: { name },
      ...change,
      linux: {
        cgroupParent: this.cgroupParent,
        securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } },
        ...(change.linux as object),
      },
    });
  }

  async pod(change: Init<typeof PodSandboxConfigSchema> = {}): Promise<Pod> {
    const config = this.podConfig(change);
    const { podSandboxId } = await this.runtime.runPodSandbox({ config });
    return { id: podSandboxId, config };
  }

  async create(
    pod: Pod,
    command: string[],
    change: Init<typeof ContainerConfigSchema> = {},
  ): Promise<string> {
    const name = change.metadata?.name ?? "main";
    const { containerId } = await this.runtime.createContainer({
      podSandboxId: pod.id,
      sandboxConfig: pod.config,
      config: create(ContainerConfigSchema, {
        metadata: { name, attempt: 0 },
        image: { image: this.registry.busybox },
        command,
        logPath: `${name}.log`,
        ...change,
        linux: {
          ...(change.linux as object),
          securityContext: {
            namespaceOptions: { pid: NamespaceMode.CONTAINER },
            ...(change.linux?.securityContext as object),
          },
        },
      }),
    });
    return containerId;
  }

  async run(pod: Pod, command: string[], change: Init<typeof ContainerConfigSchema> = {}): Promise<string> {
    const containerId = await this.create(pod, command, change);
    await this.runtime.startContainer({ containerId });
    return containerId;
  }

  async status(containerId: string) {
    return (await this.runtime.containerStatus({ containerId })).status!;
  }

  /** Waits for a container's end. */
  ended(containerId: string) {
    return until(`the end of ${containerId}`, async () => {
      const status = await this.status(containerId);
      return status.finishedAt > 0n ? status : undefined;
    });
  }

  /** What a command in a container writes. */
  async exec(containerId: string, ...cmd: string[]): Promise<string> {
    const { stdout, stderr, exitCode } = await this.runtime.execSync({ containerId, cmd, timeout: 20n });
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    if (exitCode !== 0) throw new Error(`${cmd.join(" ")}: exit ${exitCode}: ${text(stderr)}`);
    return text(stdout);
  }

  readLog(pod: Pod, name = "main"): string {
    return readFileSync(join(pod.config.logDirectory, `${name}.log`), "utf8");
  }

  /** What pods have on the machine. */
  held(): string[] {
    const names = (dir: string) => (existsSync(dir) ? readdirSync(dir) : []);
    const mounts = this.#mounts()
      // A Docker daemon has mounts of its own.
      .filter((path) => !this.server.docker || /\/(merged|rootfs|mounts|shm)(\/|$)/.test(path));
    const addresses = names(join(this.dir, "ipam/corten-test")).filter((name) => /^\d/.test(name));
    const cgroups = names("/sys/fs/cgroup").flatMap((controller) =>
      names(join("/sys/fs/cgroup", controller, this.cgroupParent)).filter((name) =>
        /^[0-9a-f]{64}$/.test(name),
      ),
    );
    const veths = names("/sys/class/net/cri0/brif");
    return [...this.server.held(), ...mounts, ...addresses, ...cgroups, ...veths];
  }

  /** How many files the server has open. */
  descriptors(): number {
    return readdirSync(`/proc/${this.#child!.pid}/fd`).length;
  }

  /** Below the world's directory, in the order of their making. */
  #mounts(): string[] {
    return readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((path) => path.startsWith(`${this.dir}/`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child?.exitCode === null && child.signalCode === null) {
      const { items } = await this.runtime.listPodSandbox({});
      for (const { id } of items) await this.runtime.removePodSandbox({ podSandboxId: id });
    }
    for (const one of [child, ...this.#below]) {
      if (one?.exitCode !== null || one.signalCode !== null) continue;
      const ended = new Promise((done) => one.once("exit", done));
      one.kill("SIGTERM");
      await ended;
    }
    this.#sessions?.abort();
    await this.registry?.[Symbol.asyncDispose]();
    // The real dockerd leaves the mounts of its network namespaces.
    for (const path of this.#mounts())
      if (path.startsWith(join(this.dir, "run/netns/"))) sh("umount", "-l", path);
    await until("the end of what ran", () => leftovers(this.dir).length === 0, 60).catch(() => {});
    const left = leftovers(this.dir);
    for (const controller of readdirSync("/sys/fs/cgroup"))
      for (const parent of [this.cgroupParent, "k8s.io"])
        try {
          rmdirSync(join("/sys/fs/cgroup", controller, parent));
        } catch {
          // Not there, or not ours alone.
        }
    rmSync(this.dir, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`left behind:\n${left.join("\n")}\n${this.log}`);
  }
}
