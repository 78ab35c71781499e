/**
 * `POST /build?version=2`: what docker's own client of BuildKit (20.10 to 22) calls. Its directories come through the
 * session that it names, the progress goes back in the answer.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { StatusResponseSchema } from "../../../proto/gen/moby/buildkit/control_pb.ts";
import { CortenError, invalid, messageOf } from "../../base/errors.ts";
import { buildOptions } from "../build/options.ts";
import type { Handler } from "../daemon.ts";
import { ProgressStream } from "../images/progress.ts";
import { buildkitOf, type PendingUpload } from "./buildkit.ts";
import { StatusMessages } from "./control/progress.ts";
import { runBuild } from "./control/run-build.ts";

/** Before the id of a build: the body is the context of that build, which is on its way. */
const uploadPrefix = "upload-request:";
const uploadRemote = "upload-request";
/** How long a build and its upload wait for each other. */
const patience = 5000;

export const buildkitBuild: Handler = async (call) => {
  const { daemon, query, body, reply, signal } = call;
  const buildkit = buildkitOf(daemon);
  const { quiet, remoteContext, outputs, cacheFrom, id, ...more } = buildOptions(query);
  if (id.startsWith(uploadPrefix)) {
    await offerUpload(buildkit.uploads, id.slice(uploadPrefix.length), body, signal);
    reply.empty(200);
    return;
  }
  const upload =
    remoteContext === uploadRemote ? await waitForUpload(buildkit.uploads, id, signal) : undefined;
  const remote =
    remoteContext === undefined || remoteContext === "client-session" || upload ? undefined : remoteContext;
  const progress = new ProgressStream(reply);
  const status = new StatusMessages((message) => {
    const bytes = toBinary(StatusResponseSchema, create(StatusResponseSchema, message));
    progress.send({ id: "moby.buildkit.trace", aux: Buffer.from(bytes).toString("base64") });
  });
  try {
    const { imageId } = await runBuild(
      daemon,
      buildkit,
      {
        ref: id,
        session: query.string("session"),
        frontend: "dockerfile.v0",
        attributes: remote === undefined ? {} : { context: remote },
        exporters: outputs.map(({ type, attributes }) => ({ Type: type, Attrs: attributes })),
        cacheFrom,
        cacheTo: [],
        entitlements: more.network === "host" ? ["network.host"] : [],
        ...(upload ? { upload: upload.body } : {}),
        more,
      },
      status,
      signal,
    );
    status.flush();
    upload?.done();
    if (imageId !== undefined && outputs.some(({ type }) => type === "image")) {
      progress.send({ id: "moby.image.id", aux: { ID: imageId } });
      // Clients that want it quiet print what is shown, and take it for the id.
      if (quiet) progress.send({ stream: `${imageId}\n` });
    }
  } catch (error) {
    status.flush();
    upload?.done(error);
    const message = `failed to solve: ${messageOf(error)}`;
    if (!progress.started)
      throw new CortenError(error instanceof CortenError ? error.code : "unknown", message, { cause: error });
    progress.send({ errorDetail: { message }, error: message });
  }
  progress.end();
};

/** Keeps the body until the build of this id has read it. */
async function offerUpload(
  uploads: Map<string, PendingUpload>,
  id: string,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  if (uploads.has(id)) throw invalid(`build ${id} has an upload already`);
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const done = (error?: unknown) => (error === undefined ? resolve() : reject(error));
      timer = setTimeout(() => done(new CortenError("deadline_exceeded", `no build ${id} came`)), patience);
      signal.addEventListener("abort", () => done(new CortenError("canceled", "the client is gone")), {
        once: true,
      });
      const taken = () => clearTimeout(timer);
      uploads.set(id, {
        body: (async function* () {
          taken();
          yield* body;
          done();
        })(),
        done,
      });
    });
  } finally {
    clearTimeout(timer);
    uploads.delete(id);
  }
}

async function waitForUpload(
  uploads: Map<string, PendingUpload>,
  id: string,
  signal: AbortSignal,
): Promise<PendingUpload> {
  const end = Date.now() + patience;
  for (;;) {
    const upload = uploads.get(id);
    if (upload) return upload;
    if (signal.aborted) throw new CortenError("canceled", "the client is gone");
    if (Date.now() > end)
      throw new CortenError("deadline_exceeded", `the context of build ${id} did not come`);
    await new Promise((next) => setTimeout(next, 20));
  }
}
