/** One build on our own daemon: the request, the frames of its connection, and what is said about it. */
import { renameSync, writeFileSync } from "node:fs";
import { isCode } from "../../base/errors.ts";
import { encodeFrame, FrameReader, framePayloadLimit, frameType } from "../../engine/build/frames.ts";
import type { HijackedStream } from "../../engine/client.ts";
import type { BuildBody, BuildContext, BuildDone, BuildFailed, BuildStatus } from "../../engine/types.ts";
import type { Cli } from "../cli.ts";
import { StatusError } from "../errors.ts";
import { dockerfileNames, packDirectory, packFiles } from "./archive.ts";
import { type CallFunction, callOf } from "./call.ts";
import type { BuildSource } from "./context.ts";
import type { BuildValues } from "./flags.ts";
import type { Output } from "./outputs.ts";
import type { Place } from "./places.ts";
import type { ProgressDisplay } from "./plain.ts";
import { reportCheck, reportFailure, reportWarnings } from "./report.ts";

export interface Build {
  cli: Cli;
  values: BuildValues;
  source: BuildSource;
  body: BuildBody;
  outputs: readonly Output[];
  /** Called when the build begins. `shownLines`: how much of a failed step's output is told again at the end. */
  display: () => { display: ProgressDisplay; shownLines: number };
}

/** Whatever it was that failed, as buildx says it. */
const failed = (message: string): string =>
  `ERROR: failed to build: ${message.startsWith("failed to solve: ") ? "" : "failed to solve: "}${message}`;

/** Exit codes of buildx that are not 1. */
const exitCodes: Readonly<Record<string, number>> = { canceled: 130, internal: 100, resource_exhausted: 102 };
const canceledText = failed("Canceled: context canceled");

/** False for progress that is for programs, or for nobody. */
const showsWords = ({ progress }: BuildValues): boolean => progress !== "rawjson" && progress !== "quiet";

/** How long a daemon may take to end a build that was interrupted. */
const cancelLimit = 10_000;

/** Resolves to the exit code; undefined when the daemon has no such call. */
export async function runBuild(build: Build, headers: Record<string, string>): Promise<number | undefined> {
  const { cli, body } = build;
  const client = await cli.quickClient();
  let stream: HijackedStream;
  try {
    stream = await client.transport.hijack("/corten/build", { json: body, headers, versioned: false });
  } catch (error) {
    if (isCode(error, "not_found")) return undefined;
    throw error;
  }
  const interrupt = onInterrupt(stream);
  const { display, shownLines } = build.display();
  const places = new Map<number, Place>();
  try {
    const end = await follow(build, display, stream, places);
    display.finish();
    if ("message" in end) {
      if (showsWords(build.values)) reportFailure(display.state, cli.err, shownLines);
      // With `# check=error=true` the warnings are the reason.
      if (end.message.startsWith("lint violation")) reportWarnings(display.state, cli.err, true);
      if (end.excerpt) cli.err.line(end.excerpt.trimEnd());
      if (interrupt.seen) throw new StatusError(130, canceledText);
      throw new StatusError(exitCodes[end.code] ?? 1, failed(end.message));
    }
    return await report(build, display, end);
  } catch (error) {
    display.finish();
    if (interrupt.seen && !(error instanceof StatusError)) throw new StatusError(130, canceledText);
    throw error;
  } finally {
    interrupt.stop();
    for (const place of places.values()) await place.abandon();
    stream.close();
  }
}

/** Ctrl-C ends our side of the connection, and with it the build; its end is still shown. Twice is enough. */
function onInterrupt(stream: HijackedStream): { readonly seen: boolean; stop(): void } {
  let seen = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const onSignal = () => {
    if (seen) return stream.close();
    seen = true;
    timer = setTimeout(() => stream.close(), cancelLimit);
    void stream.end().catch(() => stream.close());
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, onSignal);
  return {
    get seen() {
      return seen;
    },
    stop: () => {
      clearTimeout(timer);
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, onSignal);
    },
  };
}

async function follow(
  { body, source, outputs }: Build,
  display: ProgressDisplay,
  stream: HijackedStream,
  places: Map<number, Place>,
): Promise<BuildDone | BuildFailed> {
  const reader = new FrameReader();
  // A context that cannot be read is why the daemon hears no more of it.
  let unreadable: unknown;
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
          void sendContext(body, source, channel, stream).catch((error) => {
            unreadable = error;
            stream.close();
          });
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
  throw unreadable ?? new Error("the daemon ended the connection before the build was done");
}

async function sendContext(
  body: BuildBody,
  source: BuildSource,
  channel: number,
  stream: HijackedStream,
): Promise<void> {
  const wanted = body.contexts[channel];
  if (!wanted) throw new Error(`the daemon asks for a context that there is not: ${channel}`);
  for await (const piece of contextBytes(wanted, body, source))
    for (let at = 0; at < piece.length; at += framePayloadLimit)
      await stream.write(encodeFrame(frameType.context, channel, piece.subarray(at, at + framePayloadLimit)));
  await stream.write(encodeFrame(frameType.context, channel, ""));
}

function contextBytes(wanted: BuildContext, body: BuildBody, source: BuildSource): AsyncIterable<Uint8Array> {
  const { filename = "Dockerfile" } = body;
  if (wanted.path === "-" && source.context.kind === "archive") return source.context.bytes;
  // Of the directory that a Dockerfile elsewhere is in, nothing else is anybody's business.
  if (wanted.name === body.dockerfileContext) return packFiles(wanted.path, dockerfileNames(filename));
  if (wanted.name !== "context") return packDirectory(wanted.path);
  const outside = body.dockerfileContext !== undefined || body.dockerfile !== undefined;
  return packDirectory(wanted.path, outside ? {} : { dockerfile: filename });
}

/** Resolves to the exit code. */
async function report(
  { cli, values }: Build,
  display: ProgressDisplay,
  { response, imageId }: BuildDone,
): Promise<number> {
  const id = imageId ?? response["containerimage.digest"] ?? "";
  const call = callOf(values);
  if (showsWords(values)) reportWarnings(display.state, cli.err, cli.options.debug);
  if (values.quiet && !call) cli.out.line(id);
  if (values.iidfile !== "") writeFileSync(values.iidfile, id);
  if (values["metadata-file"] !== "") writeMetadata(values["metadata-file"], response);
  return call ? answer(cli, call, response) : 0;
}

/** Prints the answer to a question; `--check` may end with a status of its own. */
function answer(cli: Cli, call: CallFunction, response: Record<string, string>): number {
  const json = response["result.json"];
  if (call.format === "json") cli.out.line(json ?? "");
  else {
    const text = response["result.txt"] ?? "";
    const problem = call.name === "lint" ? reportCheck(json, text, cli.out) : void cli.out.write(text);
    if (problem !== undefined) throw new StatusError(1, `ERROR: ${problem}`);
  }
  return call.ignoreStatus ? 0 : Number(response["result.statuscode"] ?? 0) || 0;
}

/** Complete or not at all. */
function writeMetadata(path: string, response: Record<string, string>): void {
  const temporary = `${path}.${process.pid}.part`;
  writeFileSync(temporary, JSON.stringify(metadataOf(response), null, 2), { mode: 0o644 });
  renameSync(temporary, path);
}

/** Values that are JSON themselves are written as such: `result.json` as it is, others out of base64 (as buildx does). */
export function metadataOf(response: Record<string, string>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(response).sort()) {
    const text = response[key]!;
    out[key] = jsonIn(text) ?? jsonIn(Buffer.from(text, "base64").toString()) ?? text;
  }
  return out;
}

/** An object that is not empty, or a list of such. */
function jsonIn(text: string): object | undefined {
  if (!/^\s*[{[]/.test(text)) return undefined;
  try {
    const value = JSON.parse(text) as object;
    const objects = Array.isArray(value) ? value : [value];
    const full = (one: unknown) => typeof one === "object" && one !== null && Object.keys(one).length > 0;
    return objects.length > 0 && objects.every(full) ? value : undefined;
  } catch {
    return undefined;
  }
}
