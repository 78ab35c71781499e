import type {
  AuthConfig,
  BuildDebRequest,
  DeleteImageEntry,
  DistributionInspect,
  HistoryEntry,
  ImageInspect,
  ImageSummary,
  ProgressMessage,
  PruneImagesResponse,
} from "../types.ts";
import { versionLess } from "../version.ts";
import { jsonLines } from "./streams.ts";
import { type Answer, encodeFilters, type Filters, type Transport } from "./transport.ts";

/** Image names keep their slashes in the path. */
const at = (name: string, verb: string) =>
  `/images/${name.split("/").map(encodeURIComponent).join("/").replaceAll("%3A", ":").replaceAll("%40", "@")}${verb}`;

/** The `X-Registry-Auth` value. */
export function encodeAuth(auth: AuthConfig | undefined): string {
  return Buffer.from(JSON.stringify(auth ?? {}))
    .toString("base64")
    .replaceAll("+", "-")
    .replaceAll("/", "_");
}

/** Calls under `/images` and `/distribution`. */
export class Images {
  readonly #transport: Transport;
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  list(
    options: { all?: boolean; digests?: boolean; filters?: Filters; sharedSize?: boolean } = {},
  ): Promise<ImageSummary[]> {
    const query = {
      all: options.all || undefined,
      "shared-size": options.sharedSize || undefined,
      filters: encodeFilters(options.filters),
    };
    return this.#transport.json("GET", "/images/json", { query });
  }

  async inspect(name: string): Promise<ImageInspect> {
    return JSON.parse((await this.inspectRaw(name)).toString()) as ImageInspect;
  }

  inspectRaw(name: string): Promise<Buffer> {
    return this.#transport.raw("GET", at(name, "/json"));
  }

  history(name: string): Promise<HistoryEntry[]> {
    return this.#transport.json("GET", at(name, "/history"));
  }

  /** Pulls; resolves when the daemon has accepted, with the progress to read to its end. */
  async pull(
    name: string,
    tag: string,
    options: { auth?: AuthConfig; platform?: string; signal?: AbortSignal } = {},
  ): Promise<AsyncGenerator<ProgressMessage>> {
    const answer = await this.#transport.call("POST", "/images/create", {
      query: {
        fromImage: name,
        tag: tag || undefined,
        platform: options.platform?.toLowerCase() || undefined,
      },
      headers: { "X-Registry-Auth": encodeAuth(options.auth), "Content-Type": "text/plain" },
      ...(options.signal ? { signal: options.signal } : {}),
    });
    return jsonLines<ProgressMessage>(answer.body);
  }

  async push(
    name: string,
    tag: string,
    options: { auth?: AuthConfig; platform?: string; signal?: AbortSignal } = {},
  ): Promise<AsyncGenerator<ProgressMessage>> {
    const answer = await this.#transport.call("POST", at(name, "/push"), {
      query: { tag: tag || undefined, platform: options.platform || undefined },
      headers: { "X-Registry-Auth": encodeAuth(options.auth), "Content-Type": "text/plain" },
      ...(options.signal ? { signal: options.signal } : {}),
    });
    return jsonLines<ProgressMessage>(answer.body);
  }

  async tag(source: string, repo: string, tag: string): Promise<void> {
    await this.#transport.run("POST", at(source, "/tag"), { query: { repo, tag: tag || undefined } });
  }

  remove(
    name: string,
    options: { force?: boolean; noPrune?: boolean; platforms?: string[] } = {},
  ): Promise<DeleteImageEntry[]> {
    const query = { force: options.force || undefined, noprune: options.noPrune || undefined };
    return this.#transport.json("DELETE", at(name, ""), { query });
  }

  prune(filters?: Filters): Promise<PruneImagesResponse> {
    return this.#transport.json("POST", "/images/prune", { query: { filters: encodeFilters(filters) } });
  }

  save(names: readonly string[], platform?: string): Promise<Answer> {
    return this.#transport.call("GET", "/images/get", { query: { names, platform: platform || undefined } });
  }

  async load(tar: AsyncIterable<Uint8Array>, quiet: boolean): Promise<AsyncGenerator<ProgressMessage>> {
    const answer = await this.#transport.call("POST", "/images/load", {
      query: { quiet },
      body: tar,
      headers: { "Content-Type": "application/x-tar" },
    });
    return jsonLines<ProgressMessage>(answer.body);
  }

  /** An image of a file system's tar, which is `tar`, or what the daemon finds at a URL. */
  async import(
    source: string,
    tar: AsyncIterable<Uint8Array> | undefined,
    options: { repo: string; message: string; changes: readonly string[]; platform: string },
  ): Promise<AsyncGenerator<ProgressMessage>> {
    const answer = await this.#transport.call("POST", "/images/create", {
      query: {
        fromSrc: source,
        repo: options.repo || undefined,
        message: options.message || undefined,
        changes: options.changes,
        platform: options.platform.toLowerCase() || undefined,
      },
      headers: { "Content-Type": "text/plain" },
      ...(tar ? { body: tar } : {}),
    });
    return jsonLines<ProgressMessage>(answer.body);
  }

  distribution(name: string, auth?: AuthConfig): Promise<DistributionInspect> {
    const headers = auth ? { "X-Registry-Auth": encodeAuth(auth) } : {};
    return this.#transport.json("GET", at(name, "/json").replace("/images/", "/distribution/"), { headers });
  }

  /** Corten's own: composes an image of Debian packages. */
  async buildDeb(body: BuildDebRequest): Promise<AsyncGenerator<ProgressMessage>> {
    const answer = await this.#transport.call("POST", "/corten/images/build-deb", { json: body });
    return jsonLines<ProgressMessage>(answer.body);
  }

  /** From API 1.48 on the daemon knows `type=image` mounts; older ones are told apart here. */
  get supportsImageMounts(): boolean {
    return !versionLess(this.#transport.apiVersion, "1.48");
  }
}
