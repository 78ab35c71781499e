/** `--output`, `--push`, `--load` and `--annotation`: where results go, as buildx reads it. */
import { realpathSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import type { BuildOutput } from "../../engine/types.ts";
import { parsePlatform } from "../../oci/platform.ts";
import type { Cli } from "../cli.ts";
import { parseBool } from "../flags/flag.ts";
import { goQuote } from "../format/quote.ts";
import { fieldsOrFail, flagProblem, pairsOf } from "./csv.ts";
import type { BuildValues } from "./flags.ts";
import { directoryPlace, filePlace, mirrorPlace, type Place, stdoutPlace } from "./places.ts";

export interface Output {
  type: BuildOutput["type"];
  attributes: Record<string, string>;
  /** Absent: the daemon keeps the result. */
  place?: () => Promise<Place>;
  /** The directory of which nothing else is to stay. */
  mirrors?: string;
}

interface Entry {
  type: string;
  destination: string;
  attributes: Record<string, string>;
}

const types = ["image", "docker", "oci", "tar", "local", "cacheonly"] as const;
const annotationTypes = ["index", "index-descriptor", "manifest", "manifest-descriptor"];

export function outputsOf(cli: Cli, values: BuildValues): Output[] {
  const entries = values.output.filter((text) => text !== "").map(entryOf);
  if (values.iidfile !== "" && entries.some(({ type }) => type === "local" || type === "tar"))
    throw flagProblem("local and tar exporters are incompatible with image ID file");
  const use = { stdout: false };
  const outputs = entries.map((entry) => outputOf(cli, entry, use));
  if (values.push) {
    const images = outputs.filter(({ type }) => type === "image");
    for (const image of images) image.attributes["push"] = "true";
    if (images.length === 0) outputs.push({ type: "image", attributes: { push: "true" } });
  }
  if (values.load && !outputs.some(({ type, place }) => type === "docker" && !place))
    outputs.push({ type: "docker", attributes: {} });
  if (!values.allow.includes(allowDelete))
    for (const { mirrors } of outputs)
      if (mirrors !== undefined && !isBelowHere(mirrors))
        throw flagProblem(
          `local output mode=delete for destination ${goQuote(mirrors)} requires --allow=${allowDelete}`,
        );
  const annotations = annotationsOf(values.annotation);
  // Without an output the result is an image of the daemon's, which is what is annotated.
  if (outputs.length === 0 && Object.keys(annotations).length > 0)
    outputs.push({ type: "image", attributes: {} });
  for (const output of outputs) Object.assign(output.attributes, annotations);
  if (values.tag.length === 0)
    for (const { type, attributes } of outputs)
      if (type === "image" && !attributes["name"] && isTrue(attributes["push"]))
        throw flagProblem("tag is needed when pushing to registry");
  return outputs;
}

const isTrue = (text: string | undefined): boolean =>
  text !== undefined && ["1", "t", "T", "TRUE", "true", "True"].includes(text);

/** `[type[\[platform\]],…:]key=value` → the exporter's attributes; without a type: the manifest's. */
export function annotationsOf(list: readonly string[]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const text of list.filter((one) => one !== "")) {
    const at = text.indexOf("=");
    if (at < 0)
      throw flagProblem(`parse annotations: invalid annotation ${goQuote(text)}, expected key=value`);
    const value = text.slice(at + 1);
    const colon = text.slice(0, at).indexOf(":");
    if (colon < 0) {
      out[`annotation.${text.slice(0, at)}`] = value;
      continue;
    }
    const key = text.slice(colon + 1, at);
    for (const typed of text.slice(0, colon).split(",")) {
      const parts = /^([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?$/.exec(typed);
      if (!parts)
        throw flagProblem(
          `parse annotations: invalid annotation type ${goQuote(typed)}, expected type and optional platform in square brackets`,
        );
      const [, type, platform] = parts;
      if (!annotationTypes.includes(type!))
        throw flagProblem(`parse annotations: unknown annotation type ${goQuote(type!)}`);
      if (platform !== undefined) checkPlatform(platform);
      out[`annotation-${type}${platform === undefined ? "" : `[${platform}]`}.${key}`] = value;
    }
  }
  return out;
}

function checkPlatform(text: string): void {
  try {
    parsePlatform(text);
  } catch (error) {
    throw flagProblem(`parse annotations: invalid platform ${goQuote(text)}: ${(error as Error).message}`);
  }
}

/** `type=…,dest=…,…`, or only a directory, or `-`. */
export function entryOf(text: string): Entry {
  const fields = fieldsOrFail(text);
  if (fields.length === 1 && fields[0] === text && !text.startsWith("type="))
    return { type: text === "-" ? "tar" : "local", destination: text, attributes: {} };
  const entry: Entry = { type: "", destination: "", attributes: {} };
  for (const [key, value] of pairsOf(text)) {
    if (key === "type") entry.type = value;
    else if (key === "dest") entry.destination = value;
    else entry.attributes[key] = value;
  }
  if (entry.type === "") throw flagProblem("type is required for output");
  return entry;
}

function outputOf(cli: Cli, { type, destination, attributes }: Entry, use: { stdout: boolean }): Output {
  if (type === "registry") return { type: "image", attributes: { ...attributes, push: "true" } };
  const known = types.find((one) => one === type);
  if (!known) throw flagProblem(`exporter ${goQuote(type)} could not be found`);
  const archive = known === "oci" || known === "docker";
  const isDirectory = known === "local" || (archive && isFalse(attributes["tar"]));
  if (isDirectory) {
    checkDirectory(known, destination);
    if (known === "local" && isMirror(attributes["mode"]))
      return { type: known, attributes, place: () => mirrorPlace(destination), mirrors: destination };
    // An oci or docker layout as a directory: what would be in the archive, unpacked.
    const sent = archive ? { ...attributes, tar: "true" } : attributes;
    return { type: known, attributes: sent, place: () => directoryPlace(destination) };
  }
  if (known === "docker" && destination === "") return { type: known, attributes };
  if (!archive && known !== "tar") return { type: known, attributes };
  if (destination !== "" && destination !== "-") {
    checkFile(destination);
    return { type: known, attributes, place: () => filePlace(destination) };
  }
  if (use.stdout) throw flagProblem("multiple outputs configured to write to stdout");
  if (cli.out.isTerminal)
    throw flagProblem(`dest file is required for ${known} exporter. refusing to write to console`);
  use.stdout = true;
  return { type: known, attributes, place: async () => stdoutPlace(cli) };
}

/** What says that a local output may remove files anywhere; the daemon is not told. */
export const allowDelete = "buildx.local.delete";

function isMirror(text = ""): boolean {
  const mode = text.trim().toLowerCase();
  if (mode !== "" && mode !== "copy" && mode !== "delete")
    throw flagProblem(`invalid local exporter mode ${goQuote(text)}`);
  return mode === "delete";
}

/** True for directories below the working directory, wherever links lead; files there may be removed without a word. */
function isBelowHere(path: string): boolean {
  const way = relative(realpathSync("."), realPart(resolve(path)));
  return way !== "" && way !== ".." && !way.startsWith("../");
}

/** Links of the part that is there are followed. */
function realPart(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return join(realPart(dirname(path)), basename(path));
  }
}

function isFalse(text: string | undefined): boolean {
  if (text === undefined) return false;
  try {
    return !parseBool(text);
  } catch {
    return false;
  }
}

function checkDirectory(type: string, path: string): void {
  if (path === "") throw flagProblem(`dest is required for ${type} exporter`);
  if (path === "-") throw flagProblem(`dest cannot be stdout for ${type} exporter`);
  const stat = statOf(path, "invalid destination directory");
  if (stat && !stat.isDirectory()) throw flagProblem(`destination directory ${path} is a file`);
}

function checkFile(path: string): void {
  if (statOf(path, "invalid destination file")?.isDirectory())
    throw flagProblem(`destination file ${path} is a directory`);
}

function statOf(path: string, what: string) {
  try {
    return statSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw flagProblem(`${what}: ${path}: ${message}`);
  }
}
