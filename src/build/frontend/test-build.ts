/** For the tests of this folder: a Dockerfile compiled against images and directories that exist only in memory. */
import { notFound } from "../../base/errors.ts";
import type { ContainerConfig, History, ImageConfig, Platform } from "../../oci/image-spec.ts";
import { formatPlatform } from "../../oci/platform.ts";
import type { Operation, Vertex } from "../graph.ts";
import type { Progress } from "../progress.ts";
import type { BuildRequest } from "../types.ts";
import { compile } from "./compile.ts";
import type { Compiled } from "./types.ts";

export interface TestBuild {
  request?: Partial<BuildRequest>;
  /** Files of the client's directories: context → path → text. */
  contexts?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** By normalised name; busybox is always there. */
  images?: Readonly<Record<string, ImageConfig>>;
  /** Instead of all of them. */
  find?: (reference: string) => ImageConfig | undefined;
  /** Files of remote contexts, by URL and path. */
  remote?: Readonly<Record<string, Readonly<Record<string, string | Uint8Array>>>>;
}

export interface TestResult extends Compiled {
  /** References and platforms that were resolved, in order. */
  resolved: string[];
  /** Steps and warnings that progress was told of. */
  steps: string[];
  told: string[];
}

export const digestOfLetter = (letter: string): string => `sha256:${letter.repeat(64)}`;
const amd64: Platform = { os: "linux", architecture: "amd64" };

/** An image of one layer. */
export function image(config: ContainerConfig = {}, more: Partial<ImageConfig> = {}): ImageConfig {
  const history: History[] = [{ created: "2020-01-01T00:00:00Z", created_by: "base layer" }];
  return {
    architecture: "amd64",
    os: "linux",
    config,
    rootfs: { type: "layers", diff_ids: [digestOfLetter("d")] },
    history,
    ...more,
  };
}

const busybox = image({ Env: ["PATH=/bin"], Cmd: ["sh"] });

export async function build(dockerfile: string | undefined, about: TestBuild = {}): Promise<TestResult> {
  const resolved: string[] = [];
  const steps: string[] = [];
  const told: string[] = [];
  const contexts: Record<string, Readonly<Record<string, string>>> = { ...about.contexts };
  if (dockerfile !== undefined) contexts["context"] = { Dockerfile: dockerfile, ...contexts["context"] };
  const images: Record<string, ImageConfig> = {
    "docker.io/library/busybox:latest": busybox,
    ...about.images,
  };
  const progress: Progress = {
    vertex: ({ name, completed, error }) => {
      if (completed !== undefined) steps.push(error === undefined ? name : `${name} failed`);
    },
    status: () => undefined,
    log: () => undefined,
    warning: ({ short }) => told.push(short),
  };
  const encoded = (text: string | Uint8Array | undefined): Uint8Array | undefined =>
    typeof text === "string" ? new TextEncoder().encode(text) : text;
  const request: BuildRequest = {
    id: "test",
    contexts: {
      has: (name) => contexts[name] !== undefined,
      read: async (name, path) => encoded(contexts[name]?.[path]),
      open: () => Promise.reject(new Error("nothing is opened before the solver runs")),
    },
    buildArgs: {},
    labels: {},
    platforms: [],
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
    outputs: [],
    cacheFrom: [],
    cacheTo: [],
    attestations: {},
    tags: [],
    progress,
    signal: new AbortController().signal,
    ...about.request,
  };
  const compiled = await compile(request, {
    buildPlatform: amd64,
    images: {
      resolve: async (reference, { platform }) => {
        resolved.push(`${reference} ${formatPlatform(platform)}`);
        const config = about.find === undefined ? images[reference] : about.find(reference);
        if (config === undefined) throw notFound(`${reference}: not found`);
        const descriptor = (letter: string) => ({ mediaType: "", digest: digestOfLetter(letter), size: 1 });
        return { reference, target: descriptor("a"), manifest: descriptor("b"), config };
      },
    },
    sources: {
      readFile: async (source, path, limit) => {
        const { operation } = source.operation.kind === "files" ? source.inputs[0]! : source;
        const url = operation.kind === "git" || operation.kind === "http" ? operation.url : "";
        return encoded(about.remote?.[url]?.[path])?.subarray(0, limit);
      },
    },
  });
  return { ...compiled, resolved, steps, told };
}

/** The message of what was thrown; a test fails when nothing was. */
export async function failure(dockerfile: string | undefined, about: TestBuild = {}): Promise<string> {
  try {
    await build(dockerfile, about);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("the build was compiled");
}

/** All vertices below one, inputs first, each once. */
export function vertices(top: Vertex | undefined): Vertex[] {
  const found = new Map<string, Vertex>();
  const visit = (one: Vertex): void => {
    if (found.has(one.digest)) return;
    for (const input of one.inputs) visit(input);
    found.set(one.digest, one);
  };
  if (top !== undefined) visit(top);
  return [...found.values()];
}

export const names = (result: Compiled): string[] =>
  vertices(result.targets[0]?.vertex).map(({ name }) => name.replaceAll(`@${digestOfLetter("a")}`, ""));

/** The operation of the step whose name ends like this. */
export function operation<K extends Operation["kind"]>(
  result: Compiled,
  kind: K,
  ending: string,
): Extract<Operation, { kind: K }> {
  const found = vertices(result.targets[0]?.vertex).find((one) => one.name.endsWith(ending));
  if (found?.operation.kind !== kind) throw new Error(`no ${kind} step ends in ${ending}: ${names(result)}`);
  return found.operation as Extract<Operation, { kind: K }>;
}

export const history = (result: Compiled): (string | undefined)[] =>
  result.targets[0]!.history.map((entry) => `${entry.empty_layer ? "" : "+ "}${entry.created_by}`);
