/** --build-context: other sources under a name, which stands for an image or a stage of that name. */
import { invalid } from "../../base/errors.ts";
import type { ImageConfig, Platform } from "../../oci/image-spec.ts";
import { formatPlatform, normalizePlatform } from "../../oci/platform.ts";
import { familiarReference, parseReference } from "../../oci/reference.ts";
import { type Vertex, vertex } from "../graph.ts";
import type { BuildRequest } from "../types.ts";
import { parseIgnore } from "./definition.ts";
import { gitSource, isHttpUrl, parseGitReference } from "./git-reference.ts";
import { fullImageName, type Images } from "./images.ts";

export interface NamedContext {
  /** As it is shown. */
  name: string;
  value: string;
}

export interface LoadedContext {
  /** Undefined: nothing is in it (scratch). */
  vertex: Vertex | undefined;
  /** Of an image: stages that are built on it inherit it. */
  config?: ImageConfig;
}

const maxIgnore = 16 << 20;

export class NamedContexts {
  readonly #request: BuildRequest;
  readonly #images: Images;
  readonly #build: Platform;
  readonly #values: ReadonlyMap<string, string>;
  readonly #loaded = new Map<string, Promise<LoadedContext>>();

  constructor(request: BuildRequest, images: Images, build: Platform) {
    this.#request = request;
    this.#images = images;
    this.#build = build;
    this.#values = new Map(
      Object.entries(request.namedContexts).map(([key, value]) => [contextKey(key), value]),
    );
  }

  /** The context of this name for this platform (`name::linux/arm64`) or for every one. */
  find(name: string, platform: Platform): NamedContext | undefined {
    if (this.#values.size === 0) return undefined;
    if (/^(?:scratch|context)$/i.test(name)) return undefined;
    const short = contextName(name);
    for (const key of [`${short}::${formatPlatform(normalizePlatform(platform))}`, short]) {
      const value = this.#values.get(key);
      if (value !== undefined) return { name: key, value };
    }
    return undefined;
  }

  load(context: NamedContext, platform: Platform): Promise<LoadedContext> {
    const key = `${context.name} ${formatPlatform(platform)}`;
    let loaded = this.#loaded.get(key);
    if (loaded === undefined) {
      loaded = this.#load(context, platform);
      this.#loaded.set(key, loaded);
    }
    return loaded;
  }

  async #load({ name, value }: NamedContext, platform: Platform): Promise<LoadedContext> {
    const prefix = `[context ${name}]`;
    const image = withoutPrefix(value, "docker-image://") ?? withoutPrefix(value, "docker-image:");
    if (image === "scratch") return { vertex: undefined };
    if (image !== undefined) {
      const found = await this.#images.resolve(fullImageName(image), platform, prefix);
      return { vertex: found.source({ name: `${prefix} ${found.shown}` }), config: found.config };
    }
    if (value.startsWith("oci-layout:")) {
      const found = await this.#images.resolve(value, platform, prefix);
      return { vertex: found.source({ name: `${prefix} OCI load from client` }), config: found.config };
    }
    const local = withoutPrefix(value, "local:");
    if (local !== undefined) {
      const data = await this.#request.contexts.read(local, ".dockerignore", maxIgnore + 1);
      const exclude = data === undefined ? [] : parseIgnore(".dockerignore", data);
      return { vertex: this.#source({ kind: "local", name: local, exclude }, `${prefix} load from client`) };
    }
    const git = parseGitReference(value);
    if (git !== undefined && !git.couldBeLocal)
      return { vertex: this.#source(gitSource(git, {}), `[internal] load git source ${value}`) };
    if (isHttpUrl(value))
      return {
        vertex: this.#source({ kind: "http", url: value, filename: "context" }, `${prefix} ${value}`),
      };
    const colon = value.indexOf(":");
    if (colon < 0) throw invalid(`invalid context specifier ${value} for ${name}`);
    throw invalid(`unsupported context source ${value.slice(0, colon)} for ${name}`);
  }

  #source(operation: Vertex["operation"], name: string): Vertex {
    return vertex(operation, [], { name, platform: this.#build });
  }
}

const withoutPrefix = (text: string, prefix: string): string | undefined =>
  text.startsWith(prefix) ? text.slice(prefix.length) : undefined;

/** `docker.io/library/alpine:latest` and `alpine` are one name; what is no image's name is itself. */
function contextName(name: string): string {
  try {
    return familiarReference(parseReference(name)).replace(/:latest$/, "");
  } catch {
    return name;
  }
}

/** `name::platform` as contexts are looked up. */
function contextKey(key: string): string {
  const at = key.indexOf("::");
  return at < 0 ? contextName(key) : contextName(key.slice(0, at)) + key.slice(at);
}

/** What a stage can be built on: sources that are directories become a layer. */
export function asRootfs(source: Vertex): Vertex {
  if (
    source.operation.kind !== "local" &&
    source.operation.kind !== "git" &&
    source.operation.kind !== "http"
  )
    return source;
  return vertex(
    { kind: "files", actions: [{ action: "copy", input: 0, sources: ["/"], destination: "/" }] },
    [source],
    { name: source.name, platform: source.platform },
  );
}
