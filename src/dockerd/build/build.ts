import { CortenError, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Contexts, Secrets, SshAgents } from "../../build/types.ts";
import type { ProgressMessage } from "../../engine/types.ts";
import { familiarReference, parseReference } from "../../oci/reference.ts";
import type { Daemon, Handler } from "../daemon.ts";
import { ProgressStream } from "../images/progress.ts";
import { registryConfig } from "./auth.ts";
import { ClassicStream } from "./classic.ts";
import { buildOptions } from "./options.ts";

const noSecrets: Secrets = { get: async () => undefined };
const noAgents: SshAgents = { open: async () => undefined };

/**
 * `POST /build`: the body is the context as a tar, or `remote=` names one. Answers with the classic progress stream, or,
 * for `version=2`, with BuildKit's.
 */
export const build: Handler = async (call) => {
  const { daemon, query, head, body, reply, signal } = call;
  if (query.string("version") === "2") {
    const { buildkitBuild } = await import("../buildkit/build.ts");
    return buildkitBuild(call);
  }
  const { quiet, ...options } = buildOptions(query);
  const builder = await daemon.builds.builder();
  const uploads = await daemon.builds.uploads();
  const progress = new ProgressStream(reply);
  // A quiet build that fails shows what it would have shown.
  const withheld = new Withheld();
  const say = (message: ProgressMessage) => (quiet ? withheld.add(message) : progress.send(message));
  const classic = new ClassicStream(say);
  const remote = options.remoteContext !== undefined;
  const upload = remote ? undefined : await uploads.receive(body, { signal });
  try {
    const { imageId } = await builder.build({
      ...options,
      contexts: upload ?? noContexts,
      noCacheFilter: [],
      namedContexts: {},
      entitlements: [],
      secrets: noSecrets,
      ssh: noAgents,
      auth: registryConfig(head.headers.get("x-registry-config")),
      cacheTo: [],
      attestations: {},
      progress: classic,
      onCompiled: (compiled) => classic.compiled(compiled),
      signal,
    });
    classic.finish();
    if (imageId !== undefined) {
      say({ aux: { ID: imageId } });
      const short = imageId.slice("sha256:".length, "sha256:".length + 12);
      progress.send({ stream: quiet ? `${imageId}\n` : `Successfully built ${short}\n` });
      tagged(daemon, imageId, options.tags);
    }
    for (const tag of options.tags)
      say({ stream: `Successfully tagged ${familiarReference(parseReference(tag))}\n` });
  } catch (error) {
    if (signal.aborted) log.debug("build canceled", { id: options.id });
    for (const message of withheld.messages) progress.send(message);
    if (!progress.started) throw asClassic(error, classic);
    const { message, code } = classicFailure(error, classic);
    progress.send({ errorDetail: { ...(code === undefined ? {} : { code }), message }, error: message });
  } finally {
    await upload?.close();
  }
  progress.end();
};

const noContexts: Contexts = {
  open: async (name) => {
    throw new CortenError("not_found", `context ${name} was not sent`);
  },
  read: async () => undefined,
  has: () => false,
};

/** Docker sends an event for each name. */
export function tagged(daemon: Daemon, imageId: string, tags: readonly string[]): void {
  for (const tag of tags)
    daemon.events.publish("image", "tag", imageId, { name: familiarReference(parseReference(tag)) });
}

/** What a quiet build keeps to itself until it fails: the last part of it, if it is long. */
class Withheld {
  readonly messages: ProgressMessage[] = [];
  #size = 0;

  add(message: ProgressMessage): void {
    this.messages.push(message);
    this.#size += message.stream?.length ?? 0;
    while (this.#size > withheldLimit) this.#size -= this.messages.shift()?.stream?.length ?? 0;
  }
}

const withheldLimit = 4 << 20;

/** A process that failed is told in the classic builder's words, which clients take the exit code from. */
function classicFailure(error: unknown, classic: ClassicStream): { message: string; code?: number } {
  for (let cause = error; cause instanceof Error; cause = cause.cause as Error) {
    const { args, exitCode } = cause as Error & { args?: readonly string[]; exitCode?: number };
    if (args !== undefined && exitCode !== undefined)
      return {
        message: `The command '${args.join(" ")}' returned a non-zero code: ${exitCode}`,
        code: exitCode,
      };
  }
  const message = messageOf(error);
  const missing = /failed to calculate checksum of ref [^:]*: "\/(.*)": not found$/.exec(message);
  if (missing && /^(?:COPY|ADD)$/.test(classic.instruction))
    return {
      message: `${classic.instruction} failed: file not found in build context or excluded by .dockerignore: stat ${missing[1]}: file does not exist`,
    };
  return { message };
}

const asClassic = (error: unknown, classic: ClassicStream): unknown => {
  const { message, code } = classicFailure(error, classic);
  return code === undefined ? error : new CortenError("unknown", message, { cause: error });
};
