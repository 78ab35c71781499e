/** `POST /corten/build`: our own command's builds. Directories are read in place where that is the same machine. */
import { lstatSync } from "node:fs";
import { CortenError, invalid, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { combinedContexts, hostDirectories, inlineFiles } from "../../build/context/index.ts";
import type { BuildRequest, CacheSpec, Contexts, OutputSpec } from "../../build/types.ts";
import { encodeFrame, FrameReader, framePayloadLimit, frameType } from "../../engine/build/frames.ts";
import type { BuildBody, BuildContext, BuildDone, BuildFailed } from "../../engine/types.ts";
import type { Hijacked } from "../../http/reply.ts";
import { parsePlatform } from "../../oci/platform.ts";
import type { Call, Handler } from "../daemon.ts";
import { bodyOf } from "../http/router.ts";
import { registryConfig } from "./auth.ts";
import { buildBody } from "./body.ts";
import { tagged } from "./build.ts";
import { networkOf, tagName } from "./options.ts";
import { StatusBatches } from "./status.ts";

/** Of a Dockerfile that comes with the request. */
const inlineDockerfile = "Dockerfile";

export const direct: Handler = async (call) => {
  const { daemon, head, reply } = call;
  const body = await bodyOf<BuildBody>(call, buildBody);
  const builder = await daemon.builds.builder();
  const stream = await reply.hijack("application/vnd.corten.build");
  const connection = new BuildConnection(stream);
  const status = new StatusBatches((text) => connection.send(frameType.status, 0, text));
  const undo: Array<() => Promise<void>> = [];
  try {
    const contexts = await contextsOf(call, body, connection, undo);
    const request: BuildRequest = {
      ...settingsOf(body),
      contexts,
      secrets: {
        get: async (id) =>
          body.secrets?.[id] === undefined ? undefined : Buffer.from(body.secrets[id], "base64"),
      },
      ssh: agentsOf(body, call),
      auth: registryConfig(head.headers.get("x-registry-config")),
      outputs: outputsOf(body, connection),
      cacheFrom: (body.cacheFrom ?? []).map((one) => cacheOf(one, isLocal(call))),
      cacheTo: (body.cacheTo ?? []).map((one) => cacheOf(one, isLocal(call))),
      progress: status,
      signal: connection.signal,
    };
    const { response, imageId } = await builder.build(request);
    status.flush();
    if (imageId !== undefined) tagged(daemon, imageId, request.tags);
    for (const [index, output] of (body.outputs ?? []).entries())
      if (output.stream) await connection.send(frameType.outputEnd, index, "");
    const done: BuildDone = { response, ...(imageId === undefined ? {} : { imageId }) };
    await connection.send(frameType.done, 0, JSON.stringify(done));
  } catch (error) {
    status.flush();
    await connection.send(frameType.failed, 0, JSON.stringify(failureOf(error)));
  } finally {
    for (const step of undo.reverse())
      await step().catch((error) => log.warn("a build's context is left", { error: messageOf(error) }));
    stream.end();
  }
};

/** A client that comes through a file system's socket can only be on this machine. */
const isLocal = (call: Call): boolean => call.reply.local;

function settingsOf(
  body: BuildBody,
): Omit<
  BuildRequest,
  "contexts" | "secrets" | "ssh" | "auth" | "outputs" | "cacheFrom" | "cacheTo" | "progress" | "signal"
> {
  const { filename, dockerfileContext, target, remoteContext, call } = body;
  const { shmSize, cgroupParent, resources, sourceDateEpoch } = body;
  if (!body.id) throw invalid("build ID not provided");
  return {
    id: body.id,
    ...(body.dockerfile !== undefined ? { filename: inlineDockerfile, dockerfileContext: "dockerfile" } : {}),
    ...(filename === undefined || body.dockerfile !== undefined ? {} : { filename }),
    ...(dockerfileContext === undefined ? {} : { dockerfileContext }),
    ...(target === undefined ? {} : { target }),
    ...(remoteContext === undefined ? {} : { remoteContext }),
    ...(shmSize === undefined ? {} : { shmSize }),
    ...(cgroupParent === undefined ? {} : { cgroupParent }),
    ...(resources === undefined ? {} : { resources }),
    ...(sourceDateEpoch === undefined ? {} : { sourceDateEpoch }),
    ...(call === undefined ? {} : { call }),
    ...(body.check ? { check: true } : {}),
    buildArgs: body.buildArgs ?? {},
    labels: body.labels ?? {},
    platforms: (body.platforms ?? []).map((one) => parsePlatform(one)),
    noCache: body.noCache ?? false,
    noCacheFilter: body.noCacheFilter ?? [],
    pull: body.pull ?? false,
    namedContexts: body.namedContexts ?? {},
    extraHosts: body.extraHosts ?? [],
    network: networkOf(body.network ?? ""),
    ulimits: body.ulimits ?? [],
    entitlements: body.entitlements ?? [],
    attestations: body.attestations ?? {},
    tags: [...new Set((body.tags ?? []).map(tagName))],
  };
}

async function contextsOf(
  call: Call,
  body: BuildBody,
  connection: BuildConnection,
  undo: Array<() => Promise<void>>,
): Promise<Contexts> {
  const { root } = call.daemon.builds;
  const shared: Record<string, string> = {};
  const others: Contexts[] = [];
  if (body.dockerfile !== undefined)
    others.push(
      inlineFiles({ dockerfile: { [inlineDockerfile]: Buffer.from(body.dockerfile, "base64") } }, { root }),
    );
  for (const [index, context] of (body.contexts ?? []).entries()) {
    if (isLocal(call) && isSame(context)) {
      shared[context.name] = context.path;
      continue;
    }
    const uploads = await call.daemon.builds.uploads();
    const upload = await uploads.receive(connection.context(index), { signal: connection.signal });
    undo.push(() => upload.close());
    others.push(renamed(upload, context.name));
  }
  return combinedContexts(hostDirectories(shared, { root }), ...others);
}

/** True when the daemon sees the client's very directory at its path, and not another one of the same name. */
function isSame({ path, device, inode }: BuildContext): boolean {
  try {
    const stat = lstatSync(path, { bigint: true });
    return stat.isDirectory() && String(stat.dev) === device && String(stat.ino) === inode;
  } catch {
    return false;
  }
}

/** An upload is always called `context`. */
function renamed(contexts: Contexts, name: string): Contexts {
  const known = (asked: string) => (asked === name ? "context" : `no ${asked}`);
  return {
    open: (asked, options) => contexts.open(known(asked), options),
    read: (asked, path, limit) => contexts.read(known(asked), path, limit),
    has: (asked) => contexts.has(known(asked)),
  };
}

function agentsOf(body: BuildBody, call: Call): BuildRequest["ssh"] {
  return {
    async open(id) {
      const path = body.ssh?.[id];
      if (path === undefined) return undefined;
      if (!isLocal(call))
        throw new CortenError(
          "unimplemented",
          "--ssh needs a daemon on the same machine (over a unix socket)",
        );
      const { forwardSocket } = await import("./forward.ts");
      return forwardSocket(path, call.daemon.config.execRoot);
    },
  };
}

/** Without a word about it the result becomes an image of this daemon's. */
function outputsOf({ outputs = [], check, call }: BuildBody, connection: BuildConnection): OutputSpec[] {
  if (check || call !== undefined) return [];
  if (outputs.length === 0) return [{ type: "image", attributes: {} }];
  return outputs.map((output, index) => outputOf(output, index, connection));
}

function outputOf(
  output: NonNullable<BuildBody["outputs"]>[number],
  index: number,
  connection: BuildConnection,
): OutputSpec {
  const { type, attributes, stream } = output;
  return {
    // A directory travels as a tar, which its owner unpacks with their own rights.
    type: type === "local" ? "tar" : type,
    attributes,
    ...(stream ? { write: (chunk: Uint8Array) => connection.output(index, chunk) } : {}),
  };
}

function cacheOf(
  { type, attributes }: { type: string; attributes: Record<string, string> },
  local: boolean,
): CacheSpec {
  if (type !== "inline" && type !== "registry" && type !== "local")
    throw invalid(`unknown cache type: ${JSON.stringify(type)} (inline, registry and local are known)`);
  const directory = attributes["src"] ?? attributes["dest"];
  if (type !== "local") return { type, attributes };
  if (!local) throw invalid("a local cache needs a daemon on the same machine (over a unix socket)");
  if (!directory) throw invalid("a local cache needs src= or dest=");
  return { type, attributes, directory };
}

function failureOf(error: unknown): BuildFailed {
  let exitCode: number | undefined;
  let excerpt: string | undefined;
  for (let cause = error; cause instanceof Error; cause = cause.cause as Error) {
    exitCode ??= (cause as Error & { exitCode?: number }).exitCode;
    const { excerpt: found } = cause as Error & { excerpt?: string | (() => string) };
    excerpt ??= typeof found === "function" ? found.call(cause) : found;
  }
  return {
    message: messageOf(error),
    code: error instanceof CortenError ? error.code : "unknown",
    ...(excerpt ? { excerpt } : {}),
    ...(exitCode === undefined ? {} : { exitCode }),
  };
}

/** The frames of one build's connection. */
class BuildConnection {
  readonly stream: Hijacked;
  /** The client has left: a FIN is as good as a reset, since it has nothing else to end. */
  readonly #gone = new AbortController();
  /** Readers of contexts that were asked for, by their number. */
  readonly #contexts = new Map<
    number,
    { push(bytes: Uint8Array): Promise<void>; end(error?: Error): void }
  >();
  #sending: Promise<unknown> = Promise.resolve();

  constructor(stream: Hijacked) {
    this.stream = stream;
    void this.#receive();
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  send(type: number, channel: number, payload: Uint8Array | string): Promise<unknown> {
    const frame = encodeFrame(type, channel, payload);
    this.#sending = this.#sending.then(() => this.stream.write(frame));
    return this.#sending;
  }

  /** Waits while the client is slow. */
  async output(index: number, chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; at += framePayloadLimit)
      await this.send(frameType.output, index, chunk.subarray(at, at + framePayloadLimit));
    if (this.signal.aborted) throw new CortenError("canceled", "the client is gone");
  }

  /** Asks for a context's content; one at a time may be read. */
  context(index: number): AsyncIterable<Uint8Array> {
    const pipe = new TransformStream<Uint8Array, Uint8Array>(
      undefined,
      { highWaterMark: 4 },
      { highWaterMark: 4 },
    );
    const writer = pipe.writable.getWriter();
    this.#contexts.set(index, {
      push: (bytes) => writer.write(bytes),
      end: (error) => void (error ? writer.abort(error) : writer.close()).catch(() => {}),
    });
    void this.send(frameType.want, index, "");
    return pipe.readable as unknown as AsyncIterable<Uint8Array>;
  }

  async #receive(): Promise<void> {
    const reader = new FrameReader();
    let problem = new Error("the client is gone");
    try {
      for (let bytes = await this.stream.read(); bytes; bytes = await this.stream.read()) {
        for (const { type, channel, payload } of reader.push(bytes)) {
          const context = this.#contexts.get(channel);
          if (type !== frameType.context || !context) throw invalid(`unexpected frame of type ${type}`);
          if (payload.length > 0) await context.push(payload.slice());
          else {
            this.#contexts.delete(channel);
            context.end();
          }
        }
      }
    } catch (error) {
      problem = error as Error;
      this.stream.destroy();
    }
    for (const context of this.#contexts.values()) context.end(problem);
    this.#gone.abort();
  }
}
