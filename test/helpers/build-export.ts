/** A containerd in this process with layers made by hand, and results of builds to export from it. */
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExportContext, LayerMemory } from "../../src/build/export/index.ts";
import { type Vertex, vertex } from "../../src/build/graph.ts";
import type {
  BuildRequest,
  BuildServices,
  BuildTarget,
  ExporterInput,
  Layer,
  OutputSpec,
} from "../../src/build/types.ts";
import { type ContainerdClient, inProcess, withLease } from "../../src/containerd/client/index.ts";
import { openContainerd } from "../../src/containerd/daemon.ts";
import type { Platform } from "../../src/oci/image-spec.ts";
import { createResolver } from "../../src/registry/index.ts";
import { rawSyscall } from "../../src/sys/libc.ts";

export const snapshotter = "overlayfs";
export const amd64: Platform = { os: "linux", architecture: "amd64" };
export const arm64: Platform = { os: "linux", architecture: "arm64" };
const host: Platform = process.arch === "arm64" ? arm64 : amd64;

export interface ExportWorld extends AsyncDisposable {
  readonly root: string;
  readonly client: ContainerdClient;
  /** A committed snapshot on `below`, filled by `fill` (the directory is the layer's own). */
  layer(below: readonly Layer[], fill: (directory: string) => void): Promise<Layer[]>;
  /** Runs an export under a lease of its own. */
  leased<T>(work: (client: ContainerdClient) => Promise<T>): Promise<T>;
  context(client: ContainerdClient, more?: Partial<ExportContext>): ExportContext;
  /** How often a diff was written. */
  diffs(): number;
}

export async function openExportWorld(): Promise<ExportWorld> {
  const root = mkdtempSync(join(tmpdir(), "corten-export-"));
  const daemon = await openContainerd({ root: join(root, "lib"), state: join(root, "run") });
  let diffs = 0;
  const services = new Map(daemon.services);
  const name = "containerd.services.diff.v1.Diff";
  const diff = services.get(name) as { diff(...args: unknown[]): unknown };
  services.set(name, {
    ...diff,
    diff: (...args: unknown[]) => {
      diffs++;
      return diff.diff(...args);
    },
  });
  const client = inProcess(services, "moby");
  const hold = "layers-of-the-test";
  await client.leases.create({ id: hold });
  const holding = client.with({ lease: hold });
  const remembered = new Map<string, Pick<Layer, "diffId" | "blob">>();
  const memory: LayerMemory = {
    recall: async (snapshot) => remembered.get(snapshot),
    async remember({ snapshot, ...rest }) {
      remembered.set(snapshot, rest);
      await client.leases.addResource({ id: hold, resource: { id: rest.blob!.digest, type: "content" } });
    },
  };
  return {
    root,
    client,
    async layer(below, fill) {
      const id = crypto.randomUUID();
      const parent = below.at(-1)?.snapshot ?? "";
      const { mounts } = await holding.snapshots.prepare({ snapshotter, key: `make-${id}`, parent });
      const { type, source, options } = mounts[0]!;
      const upper = options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length);
      fill(type === "bind" ? source : upper!);
      await holding.snapshots.commit({ snapshotter, key: `make-${id}`, name: `layer-${id}` });
      return [...below, { snapshot: `layer-${id}` }];
    },
    leased: (work) => withLease(client, work),
    context: (leased, more = {}) => ({
      client: leased,
      snapshotter,
      services: {
        client,
        snapshotter,
        registry: () => createResolver(),
      } as unknown as BuildServices,
      layers: memory,
      provenance: { startedAt: new Date(1_700_000_000_000), materials: [] },
      ...more,
    }),
    diffs: () => diffs,
    async [Symbol.asyncDispose]() {
      await daemon.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** What a Dockerfile's last stage comes to: an entry of history per layer and one without. */
export function targetOf(layers: readonly Layer[], more: Partial<BuildTarget> = {}): BuildTarget {
  return {
    platform: host,
    vertex: someVertex(),
    config: {
      architecture: (more.platform ?? host).architecture,
      os: "linux",
      config: { Env: ["PATH=/bin"], Cmd: ["/bin/true"] },
      rootfs: { type: "layers", diff_ids: [] },
    },
    history: [
      ...layers.map((_, at) => ({ created_by: `RUN step ${at}`, comment: "buildkit.dockerfile.v0" })),
      { created_by: 'CMD ["/bin/true"]', comment: "buildkit.dockerfile.v0", empty_layer: true },
    ],
    ...more,
  };
}

export const inputOf = (...all: readonly [BuildTarget, readonly Layer[]][]): ExporterInput => ({
  targets: all.map(([target, layers]) => ({
    target,
    result: { kind: "layers", key: `sha256:${"0".repeat(64)}`, layers },
  })),
});

export function someVertex(): Vertex {
  const local = vertex({ kind: "local", name: "context", exclude: [] }, [], {
    name: "[internal] load",
    platform: host,
  });
  return vertex(
    {
      kind: "run",
      args: ["/bin/sh", "-c", "make"],
      env: [],
      proxyEnv: ["http_proxy=http://user:password@proxy"],
      cwd: "/",
      user: "",
      mounts: [
        { type: "bind", input: 0, source: "/", target: "/src", readonly: true },
        { type: "secret", id: "token", target: "/t", required: true, uid: 0, gid: 0, mode: 0o400 },
      ],
      network: "default",
      security: "sandbox",
      extraHosts: [],
    },
    [local],
    {
      name: "RUN make",
      platform: host,
      ranges: [{ start: { line: 2, character: 0 }, end: { line: 2, character: 8 } }],
    },
  );
}

export function requestOf(outputs: readonly OutputSpec[], more: Partial<BuildRequest> = {}): BuildRequest {
  const none = () => {};
  return {
    id: "build-of-the-test",
    contexts: undefined as unknown as BuildRequest["contexts"],
    buildArgs: { VERSION: "1.2" },
    labels: {},
    platforms: [host],
    noCache: false,
    noCacheFilter: [],
    pull: false,
    namedContexts: {},
    extraHosts: [],
    network: "default",
    ulimits: [],
    entitlements: [],
    secrets: { get: async () => undefined },
    ssh: { open: async () => undefined },
    auth: async () => undefined,
    outputs,
    cacheFrom: [],
    cacheTo: [],
    attestations: {},
    tags: [],
    progress: { vertex: none, status: none, log: none, warning: none },
    signal: new AbortController().signal,
    ...more,
  };
}

export const image = (attributes: Record<string, string> = {}): OutputSpec => ({ type: "image", attributes });

/** Collects what an output writes. */
export function collector(): { write(chunk: Uint8Array): Promise<void>; bytes(): Buffer } {
  const parts: Uint8Array[] = [];
  return {
    write: async (chunk) => void parts.push(Buffer.from(chunk)),
    bytes: () => Buffer.concat(parts),
  };
}

/** A small tree with one of each: modes, owners, links, a device, a file that is not small. */
export function fillBase(directory: string): void {
  mkdirSync(join(directory, "etc"));
  mkdirSync(join(directory, "bin"));
  writeFileSync(join(directory, "etc/passwd"), "root:x:0:0::/:/bin/sh\n");
  writeFileSync(join(directory, "bin/tool"), Buffer.alloc(700_000, 7));
  chmodSync(join(directory, "bin/tool"), 0o4755);
  linkSync(join(directory, "bin/tool"), join(directory, "bin/other"));
  symlinkSync("/etc/passwd", join(directory, "bin/link"));
  chownSync(join(directory, "etc/passwd"), 12, 34);
  rawSyscall("mknodat", -100, join(directory, "etc/null"), 0o020666, 0x103);
  utimesSync(join(directory, "etc/passwd"), 1_600_000_000, 1_600_000_000);
}
