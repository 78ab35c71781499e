/** The world of a scenario: a host of its own (this process' namespaces), containers, and an outside machine. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type AttachRequest,
  type Endpoint,
  NetworkManager,
  type NetworkManagerOptions,
  type PortRequest,
} from "../../src/network/index.ts";
import { createNetns, removeNetns } from "../../src/sys/netns.ts";

export const HOST_ADDRESS = "192.0.2.1";
export const OUTSIDE_ADDRESS = "192.0.2.9";
const peer = join(import.meta.dir, "network.peer.ts");

export const sh = (...argv: string[]): string =>
  execFileSync(argv[0]!, argv.slice(1), { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
export const inNetns = (path: string, ...argv: string[]) => sh("nsenter", `--net=${path}`, ...argv);

/** Waits for a condition that becomes true without our doing. */
export async function eventually(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await Bun.sleep(10);
  }
}

export class World implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "corten-network-"));
  readonly #children: ChildProcess[] = [];
  readonly #managers: NetworkManager[] = [];
  #outside: string | undefined;

  constructor() {
    sh("ip", "link", "set", "lo", "up");
  }

  open(name = "engine", options: Partial<NetworkManagerOptions> = {}): NetworkManager {
    const manager = NetworkManager.open({
      root: join(this.dir, name, "root"),
      execRoot: join(this.dir, name, "run"),
      pool: 0,
      ...options,
    });
    this.#managers.push(manager);
    return manager;
  }

  async container(
    manager: NetworkManager,
    id: string,
    ports: PortRequest[] = [],
    request: Partial<AttachRequest> = {},
  ): Promise<Endpoint> {
    const network = request.network ?? "bridge";
    const sandbox = manager.createSandbox(id, network);
    return await manager.attach({
      network,
      containerId: id,
      containerName: `name-of-${id}`,
      sandbox,
      ports,
      ...request,
    });
  }

  /** A machine at 192.0.2.9 with a cable to the host at 192.0.2.1. */
  outside(): string {
    if (this.#outside) return this.#outside;
    const path = join(this.dir, "outside");
    createNetns(path);
    this.#outside = path;
    sh("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "wire");
    sh("nsenter", `--net=/proc/${process.pid}/ns/net`, "ip", "link", "set", "wire", "netns", path);
    sh("ip", "address", "add", `${HOST_ADDRESS}/24`, "dev", "uplink");
    sh("ip", "link", "set", "uplink", "up");
    inNetns(path, "ip", "link", "set", "lo", "up");
    inNetns(path, "ip", "address", "add", `${OUTSIDE_ADDRESS}/24`, "dev", "wire");
    inNetns(path, "ip", "link", "set", "wire", "up");
    return path;
  }

  /** Starts a server in a namespace (undefined: the host) and waits until it listens. */
  async serve(netns: string | undefined, protocol: string, port: number, name: string): Promise<void> {
    const argv = [process.execPath, peer, "serve", protocol, String(port), name];
    const child = netns
      ? spawn("nsenter", [`--net=${netns}`, ...argv], { stdio: ["ignore", "pipe", "inherit"] })
      : spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
    this.#children.push(child);
    await new Promise<void>((resolve, reject) => {
      child.stdout!.once("data", () => resolve());
      child.once("exit", (code) => reject(new Error(`server ${name} exited with ${code}`)));
    });
  }

  /** Asks from a namespace and returns the answer, or "failed: …". */
  async ask(
    netns: string | undefined,
    protocol: string,
    host: string,
    port: number,
    timeout = 5000,
  ): Promise<string> {
    const argv = [process.execPath, peer, "ask", protocol, host, String(port)];
    const full = netns ? ["nsenter", `--net=${netns}`, ...argv] : argv;
    const child = spawn(full[0]!, full.slice(1), {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ASK_TIMEOUT: String(timeout) },
    });
    this.#children.push(child);
    let text = "";
    child.stdout!.on("data", (chunk) => {
      text += chunk;
    });
    await new Promise((resolve) => child.once("close", resolve));
    return text.trim();
  }

  /** As `ask`, where a packet that is dropped is the expected end. */
  refused(netns: string | undefined, protocol: string, host: string, port: number): Promise<string> {
    return this.ask(netns, protocol, host, port, 700);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    for (const manager of this.#managers) {
      try {
        await manager.destroy();
      } catch {
        // Closed or destroyed by the scenario itself.
      }
    }
    if (this.#outside) removeNetns(this.#outside);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
