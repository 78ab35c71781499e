/** One build on our own daemon: the request, the frames of its connection, and what is said about it. */
import { writeFileSync } from "node:fs";
import { isCode } from "../../base/errors.ts";
import { encodeFrame, FrameReader, frameType } from "../../engine/build/frames.ts";
import type { HijackedStream } from "../../engine/client.ts";
import type { BuildBody, BuildDone, BuildFailed, BuildStatus } from "../../engine/types.ts";
import type { Cli } from "../cli.ts";
import { StatusError } from "../errors.ts";
import { packDirectory } from "./archive.ts";
import type { BuildSource } from "./context.ts";
import type { BuildValues } from "./flags.ts";
import type { Output, Place } from "./outputs.ts";
import type { ProgressDisplay } from "./plain.ts";
import { reportCheck, reportFailure, reportWarnings } from "./report.ts";

export interface Build {
  cli: Cli;
  values: BuildValues;
  source: BuildSource;
  body: BuildBody;
  outputs: readonly Output[];
  display: ProgressDisplay;
}

/** Whatever it was that failed, as buildx says it. */
const failed = (message: string): string =>
  message.startsWith("failed to solve: ") ? message : `failed to solve: ${message}`;

/** Resolves to the exit code; undefined when the daemon has no such call. */
export async function runBuild(build: Build, headers: Record<string, string>): Promise<number | undefined> {
  const { cli, body, display } = build;
  const client = await cli.quickClient();
  let stream: HijackedStream;
  try {
    stream = await client.transport.hijack("/corten/build", { json: body, headers, versioned: false });
  } catch (error) {
    display.finish();
    if (isCode(error, "not_found")) return undefined;
    throw error;
  }
  const interrupted = onInterrupt(stream);
  const places = new Map<number, Place>();
  try {
    const end = await follow(build, stream, places);
    display.finish();
    if ("message" in end) {
      reportFailure(display.state, cli.err);
      // With `# check=error=true` the warnings are the reason.
      if (end.message.startsWith("lint violation")) reportWarnings(display.state, cli.err, true);
      if (end.excerpt) cli.err.line(end.excerpt.trimEnd());
      throw new StatusError(1, `ERROR: ${failed(end.message)}`);
    }
    await report(build, end);
    return statusCode(end);
  } catch (error) {
    display.finish();
    if (interrupted()) throw new StatusError(130, "ERROR: failed to solve: Canceled: context canceled");
    throw error;
  } finally {
    for (const place of places.values()) await place.abandon();
    stream.close();
  }
}

/** Ctrl-C ends the connection, and with it the build. */
function onInterrupt(stream: HijackedStream): () => boolean {
  let seen = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => {
      if (seen) process.exit(130);
      seen = true;
      stream.close();
    });
  return () => seen;
}

async function follow(
  { body, source, outputs, display }: Build,
  stream: HijackedStream,
  places: Map<number, Place>,
): Promise<BuildDone | BuildFailed> {
  const reader = new FrameReader();
  for await (const bytes of stream.output) {
    for (const { type, channel, payload } of reader.push(bytes)) {
      const json = () => JSON.parse(new TextDecoder().decode(payload));
      switch (type) {
        case frameType.status:
          display.show(json() as BuildStatus);
          break;
        case frameType.output: {
          const place = places.get(channel) ?? (await outputs[channel]!.place!());
          places.set(channel, place);
          await place.write(payload);
          break;
        }
        case frameType.outputEnd:
          await places.get(channel)?.end();
          places.delete(channel);
          break;
        case frameType.want:
          void sendContext(body, source, channel, stream).catch(() => stream.close());
          break;
        case frameType.done:
          return json() as BuildDone;
        case frameType.failed:
          return json() as BuildFailed;
        default:
          throw new Error(`unexpected frame of type ${type}`);
      }
    }
  }
  throw new StatusError(1, "the daemon ended the connection before the build was done");
}

async function sendContext(
  body: BuildBody,
  source: BuildSource,
  channel: number,
  stream: HijackedStream,
): Promise<void> {
  const wanted = body.contexts[channel]!;
  const bytes =
    source.context.kind === "archive" && wanted.name === "context"
      ? source.context.bytes
      : packDirectory(wanted.path);
  for await (const piece of bytes)
    if (piece.length > 0) await stream.write(encodeFrame(frameType.context, channel, piece));
  await stream.write(encodeFrame(frameType.context, channel, ""));
}

async function report({ cli, values, display }: Build, { response, imageId }: BuildDone): Promise<void> {
  if (values.iidfile !== "" && imageId !== undefined) writeFileSync(values.iidfile, imageId);
  if (values["metadata-file"] !== "")
    writeFileSync(values["metadata-file"], `${JSON.stringify(metadataOf(response), null, 2)}\n`);
  const text = response["result.txt"];
  if (text !== undefined) {
    if (values.check || values.call === "check") reportCheck(response["result.json"], text, cli.out);
    else cli.out.write(text);
    return;
  }
  if (values.quiet) {
    if (imageId !== undefined) cli.out.line(imageId);
    return;
  }
  reportWarnings(display.state, cli.err, cli.options.debug);
}

/** `--check` may end with a status of its own. */
const statusCode = ({ response }: BuildDone): number => Number(response["result.statuscode"] ?? 0) || 0;

/** Values that are JSON themselves are written as such, some of them in base64 (as buildx does). */
function metadataOf(response: Record<string, string>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(response).sort()) {
    const text = response[key]!;
    out[key] = jsonIn(text) ?? jsonIn(Buffer.from(text, "base64").toString()) ?? text;
  }
  return out;
}

function jsonIn(text: string): object | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    return JSON.parse(text) as object;
  } catch {
    return undefined;
  }
}
