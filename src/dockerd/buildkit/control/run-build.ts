/** A build as BuildKit's API asks for it: from frontend attributes, exporters and a session to a build request. */
import { CortenError, invalid, messageOf, unimplemented } from "../../../base/errors.ts";
import { log } from "../../../base/log.ts";
import { combinedContexts } from "../../../build/context/index.ts";
import { isMirror } from "../../../build/export/attributes.ts";
import { digestOf } from "../../../build/graph.ts";
import type { Progress } from "../../../build/progress.ts";
import type { BuildRequest, BuildResult, CacheSpec, Contexts, OutputSpec } from "../../../build/types.ts";
import { tagName } from "../../build/options.ts";
import type { Daemon } from "../../daemon.ts";
import type { BuildKit } from "../buildkit.ts";
import { sessionContexts, sharesDirectories } from "../session/contexts.ts";
import { sessionLayout } from "../session/layout.ts";
import { FileSender, sendDirectory } from "../session/send.ts";
import { sessionAgents, sessionAuth, sessionSecrets, sessionUpload } from "../session/services.ts";
import type { Session } from "../session/sessions.ts";
import { type Attributes, attributeFields } from "./attributes.ts";
import { BuildError } from "./errors.ts";

export interface ExporterSpec {
  Type: string;
  Attrs: Attributes;
}

export interface BuildInput {
  /** Names the build; the client's. */
  ref: string;
  session: string;
  frontend: string;
  attributes: Attributes;
  exporters: readonly ExporterSpec[];
  cacheFrom: readonly CacheSpec[];
  cacheTo: readonly CacheSpec[];
  entitlements: readonly string[];
  /** A context that came some other way than through the session. */
  upload?: AsyncIterable<Uint8Array>;
  /** What the request says beyond the attributes (POST /build). */
  more?: Partial<BuildRequest>;
}

/** Host of the URLs under which a session uploads its stdin. */
const uploadHost = "buildkit-session";
const sessionPrefix = "local-sessionid:";

export async function runBuild(
  daemon: Daemon,
  buildkit: BuildKit,
  input: BuildInput,
  progress: Progress,
  signal: AbortSignal,
): Promise<BuildResult> {
  const { attributes } = input;
  checkFrontend(input);
  const session = await buildkit.sessions.get(input.session, signal);
  const builder = await daemon.builds.builder();
  // Whose directory it is may be another session's: targets of one command share them.
  const sessionOf = (name: string): Promise<Session> => {
    const other = attributes[`${sessionPrefix}${name}`];
    return other ? buildkit.sessions.get(other, signal) : Promise.resolve(session);
  };
  const gone = AbortSignal.any([signal, session.closed]);
  const undo: Array<() => unknown> = [];
  let source: { filename: string; text: string } | undefined;
  try {
    const shared = sessionContexts(sessionOf, await buildkit.mirrors(), gone, sharesDirectories(session));
    undo.push(() => shared.close());
    const context = attributes["context"] ?? "";
    const url = /^https?:/.test(context) ? new URL(context) : undefined;
    const bytes =
      input.upload ?? (url?.hostname === uploadHost ? sessionUpload(session, url, gone) : undefined);
    let contexts: Contexts = shared;
    if (bytes) {
      const uploads = await daemon.builds.uploads();
      const upload = await uploads.receive(bytes, { signal: gone });
      undo.push(() => upload.close());
      contexts = combinedContexts(upload, shared);
    }
    contexts = remembering(contexts, (filename, text) => {
      source ??= { filename, text };
    });
    const dockerfileContext =
      attributes["dockerfilekey"] || (bytes || context !== "" ? undefined : "dockerfile");
    const outputs = new Outputs(session, input, buildkit, gone, undo);
    const request: BuildRequest = {
      ...attributeFields(attributes),
      ...input.more,
      id: input.ref,
      contexts,
      ...(dockerfileContext === undefined ? {} : { dockerfileContext }),
      ...(context !== "" && !bytes ? { remoteContext: context } : {}),
      entitlements: input.entitlements.filter((one) => one === "network.host" || one === "security.insecure"),
      layouts: (store) => sessionLayout(session, store, gone),
      secrets: sessionSecrets(session),
      ssh: sessionAgents(session, daemon.config.execRoot),
      auth: sessionAuth(session),
      tags: input.more?.tags ?? [],
      outputs: await outputs.specs(),
      cacheFrom: input.cacheFrom,
      cacheTo: input.cacheTo,
      progress,
      onCompiled: ({ filename, text }) => {
        source = { filename, text };
      },
      signal: gone,
    };
    if (outputs.onlyLocalImage && request.attestations["provenance"]?.["inline-only"] === "true") {
      // Nobody asked for it: buildx does by itself. In an image that stays here it costs the compression of every layer.
      const { provenance, ...rest } = request.attestations;
      request.attestations = rest;
    }
    const result = await builder.build(request);
    await outputs.finish(progress);
    return result;
  } catch (error) {
    if (session.closed.aborted && !signal.aborted)
      throw new BuildError(
        new CortenError("canceled", "the client's session has ended", { cause: error }),
        undefined,
      );
    throw new BuildError(error, source);
  } finally {
    for (const step of undo.reverse()) {
      try {
        await step();
      } catch (error) {
        log.warn("something of a build's session is left", { error: messageOf(error) });
      }
    }
  }
}

/** Only the Dockerfile's own frontend is built in; `gateway.v0` may name it as an image. */
function checkFrontend({ frontend, attributes }: BuildInput): void {
  if (frontend === "dockerfile.v0") return;
  const image = attributes["source"]?.split("@", 1)[0]?.split("/").at(-1)?.split(":", 1)[0] ?? "";
  if (frontend === "gateway.v0" && /^dockerfile(?:-upstream)?$/.test(image)) return;
  throw unimplemented(
    frontend === "gateway.v0"
      ? `frontend ${attributes["source"]} cannot be run: only docker/dockerfile is built in`
      : `frontend ${JSON.stringify(frontend)} is not supported: only dockerfile.v0 is built in`,
  );
}

/** Keeps the text of the Dockerfile for errors that are found before it is compiled. */
function remembering(contexts: Contexts, keep: (filename: string, text: string) => void): Contexts {
  return {
    has: (name) => contexts.has(name),
    open: (name, options) => contexts.open(name, options),
    async read(name, path, limit) {
      const data = await contexts.read(name, path, limit);
      if (data && !path.endsWith(".dockerignore")) keep(path, new TextDecoder().decode(data));
      return data;
    },
  };
}

/** Where the results go: the store, a registry, or the client. */
class Outputs {
  readonly #session: Session;
  readonly #input: BuildInput;
  readonly #buildkit: BuildKit;
  readonly #signal: AbortSignal;
  readonly #undo: Array<() => unknown>;
  readonly #files: FileSender[] = [];
  readonly #directories: { index: number; path: string; mirror: boolean }[] = [];

  constructor(
    session: Session,
    input: BuildInput,
    buildkit: BuildKit,
    signal: AbortSignal,
    undo: Array<() => unknown>,
  ) {
    this.#session = session;
    this.#input = input;
    this.#buildkit = buildkit;
    this.#signal = signal;
    this.#undo = undo;
  }

  /** True when nothing leaves this machine. */
  get onlyLocalImage(): boolean {
    return this.#input.exporters.every(
      ({ Type, Attrs }) => (Type === "moby" || Type === "image") && Attrs["push"] !== "true",
    );
  }

  async specs(): Promise<OutputSpec[]> {
    const specs: OutputSpec[] = [];
    for (const [index, exporter] of this.#input.exporters.entries())
      specs.push(await this.#spec(exporter, index));
    return specs;
  }

  async #spec({ Type, Attrs }: ExporterSpec, index: number): Promise<OutputSpec> {
    const names = Attrs["name"];
    const attributes = {
      ...Attrs,
      ...(names ? { name: names.split(",").map(tagName).join(",") } : {}),
    };
    switch (Type) {
      case "moby":
      case "image":
        return { type: "image", attributes };
      case "cacheonly":
        return { type: "cacheonly", attributes };
      case "local": {
        const place = (await this.#buildkit.mirrors()).take(undefined);
        this.#undo.push(() => place.release());
        this.#directories.push({ index, path: place.directory, mirror: isMirror(Attrs) });
        return { type: "local", attributes, directory: place.directory };
      }
      case "oci":
      case "docker":
      case "tar": {
        if (Type !== "tar" && (Attrs["tar"] ?? "true") === "false")
          throw unimplemented(
            "tar=false is not supported here: a directory of blobs needs a content store at the client",
          );
        const file = new FileSender(this.#session, index, this.#signal);
        this.#files.push(file);
        this.#undo.push(() => file.cancel());
        return { type: Type, attributes, write: (chunk) => file.write(chunk) };
      }
      default:
        throw invalid(`exporter ${JSON.stringify(Type)} could not be found`);
    }
  }

  /** After the build: the rest of what goes to the client. */
  async finish(progress: Progress): Promise<void> {
    for (const file of this.#files) await file.end();
    for (const { index, path, mirror } of this.#directories) {
      const step = {
        digest: digestOf([this.#input.ref, "send", index]),
        inputs: [],
        name: "sending files to the client",
        cached: false,
        started: new Date(),
      };
      progress.vertex(step);
      const tell = (current: number, completed?: Date) =>
        progress.status({
          id: "copying files",
          vertex: step.digest,
          name: "copying files",
          current,
          total: 0,
          timestamp: new Date(),
          started: step.started,
          ...(completed ? { completed } : {}),
        });
      let told = 0;
      let sent = 0;
      try {
        await sendDirectory(this.#session, { index, mirror }, path, this.#signal, (bytes) => {
          sent = bytes;
          if (performance.now() - told < 100) return;
          told = performance.now();
          tell(bytes);
        });
        tell(sent, new Date());
        progress.vertex({ ...step, completed: new Date() });
      } catch (error) {
        progress.vertex({ ...step, completed: new Date(), error: messageOf(error) });
        throw error;
      }
    }
  }
}
