import { CortenError, messageOf } from "../../base/errors.ts";
import type { Contexts, Secrets, SshAgents } from "../../build/types.ts";
import { familiarReference, parseReference } from "../../oci/reference.ts";
import type { Handler } from "../daemon.ts";
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
  const classic = new ClassicStream((message) => {
    if (!quiet) progress.send(message);
  });
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
      progress.send({ aux: { ID: imageId } });
      if (quiet) progress.send({ stream: `${imageId}\n` });
      else
        progress.send({
          stream: `Successfully built ${imageId.slice("sha256:".length, "sha256:".length + 12)}\n`,
        });
    }
    if (!quiet)
      for (const tag of options.tags)
        progress.send({ stream: `Successfully tagged ${familiarReference(parseReference(tag))}\n` });
  } catch (error) {
    if (!progress.started) throw asClassic(error);
    const { message, code } = classicFailure(error);
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

/** A process that failed is told in the classic builder's words, which clients take the exit code from. */
function classicFailure(error: unknown): { message: string; code?: number } {
  for (let cause = error; cause instanceof Error; cause = cause.cause as Error) {
    const { args, exitCode } = cause as Error & { args?: readonly string[]; exitCode?: number };
    if (args !== undefined && exitCode !== undefined)
      return {
        message: `The command '${args.join(" ")}' returned a non-zero code: ${exitCode}`,
        code: exitCode,
      };
  }
  return { message: messageOf(error) };
}

const asClassic = (error: unknown): unknown => {
  const { message, code } = classicFailure(error);
  return code === undefined ? error : new CortenError("unknown", message, { cause: error });
};
