/** `--output`: where results go, and who writes them. */
import { mkdirSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { BuildOutput } from "../../engine/types.ts";
import type { Cli } from "../cli.ts";
import { StatusError } from "../errors.ts";
import { type BuildValues, fieldsOf } from "./flags.ts";

/** What takes the bytes of an output. */
export interface Place {
  write(bytes: Uint8Array): Promise<void>;
  /** Complete: the file gets its name. */
  end(): Promise<void>;
  /** Nothing half written is left. */
  abandon(): Promise<void>;
}

export interface Output {
  type: BuildOutput["type"];
  attributes: Record<string, string>;
  /** Absent: the daemon keeps the result. */
  place?: () => Promise<Place>;
}

const types = ["image", "docker", "oci", "tar", "local", "cacheonly"] as const;

export function outputsOf(cli: Cli, values: BuildValues): Output[] {
  const outputs = values.output.map((text) => outputOf(cli, text));
  if (values.push) {
    const image = outputs.find(({ type }) => type === "image");
    if (image) image.attributes["push"] = "true";
    else outputs.push({ type: "image", attributes: { push: "true" } });
  }
  if (values.load && !outputs.some(({ type, place }) => type === "docker" && !place))
    outputs.push({ type: "docker", attributes: {} });
  for (const output of outputs)
    for (const annotation of values.annotation) {
      const at = annotation.indexOf("=");
      if (at < 0)
        throw new StatusError(1, `invalid annotation ${JSON.stringify(annotation)}: expected key=value`);
      Object.assign(output.attributes, annotationOf(annotation.slice(0, at), annotation.slice(at + 1)));
    }
  if (values.annotation.length > 0 && outputs.length === 0) {
    const attributes: Record<string, string> = {};
    for (const annotation of values.annotation) {
      const at = annotation.indexOf("=");
      Object.assign(attributes, annotationOf(annotation.slice(0, at), annotation.slice(at + 1)));
    }
    outputs.push({ type: "image", attributes });
  }
  return outputs;
}

/** `index,manifest:key=value` → the exporter's attributes; without a type: the manifest's. */
function annotationOf(key: string, value: string): Record<string, string> {
  const typed = /^([a-z-]+(?:\[[^\]]*\])?(?:,[a-z-]+(?:\[[^\]]*\])?)*):(.+)$/.exec(key);
  if (!typed) return { [`annotation.${key}`]: value };
  return Object.fromEntries(typed[1]!.split(",").map((one) => [`annotation-${one}.${typed[2]!}`, value]));
}

function outputOf(cli: Cli, text: string): Output {
  // `-o DIR` and `-o -`.
  if (!text.includes("=") || text === "-")
    return text === "-"
      ? { type: "tar", attributes: {}, place: () => stdoutPlace(cli) }
      : { type: "local", attributes: {}, place: () => directoryPlace(text) };
  const { type, dest, ...attributes } = fieldsOf(text, "--output");
  if (!type) throw new StatusError(1, `type is required for output`);
  if (type === "registry")
    return { type: "image", attributes: { ...attributes, push: attributes["push"] ?? "true" } };
  const known = types.find((one) => one === type);
  if (!known) throw new StatusError(1, `unsupported output type: ${JSON.stringify(type)}`);
  switch (known) {
    case "local":
      if (!dest) throw new StatusError(1, "dest is required for local output");
      return { type: known, attributes, place: () => directoryPlace(dest) };
    case "oci":
    case "tar":
      if (attributes["tar"] === "false" && known === "oci") {
        if (!dest) throw new StatusError(1, "dest is required for an oci directory");
        return { type: known, attributes: { ...attributes, tar: "true" }, place: () => directoryPlace(dest) };
      }
      return { type: known, attributes, place: () => filePlace(cli, dest ?? "-") };
    case "docker":
      return dest
        ? { type: known, attributes, place: () => filePlace(cli, dest) }
        : { type: known, attributes };
    default:
      return { type: known, attributes };
  }
}

async function stdoutPlace(cli: Cli): Promise<Place> {
  if (cli.out.isTerminal)
    throw new StatusError(1, "dest file is required for this exporter. refusing to write to console");
  return { write: (bytes) => cli.out.pour(bytes), end: async () => {}, abandon: async () => {} };
}

async function filePlace(cli: Cli, path: string): Promise<Place> {
  if (path === "-") return stdoutPlace(cli);
  const target = resolve(path);
  await mkdir(dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}.part`;
  const file = await open(temporary, "w", 0o644);
  return {
    write: async (bytes) => {
      await file.writeFile(bytes);
    },
    end: async () => {
      await file.close();
      await rename(temporary, target);
    },
    abandon: async () => {
      await file.close().catch(() => {});
      await rm(temporary, { force: true });
    },
  };
}

/** A tar unpacked by `tar`, with the rights of who called us: files are theirs. */
async function directoryPlace(path: string): Promise<Place> {
  mkdirSync(path, { recursive: true });
  const argv = ["tar", "-x", "-p", "--no-same-owner", "-C", path, "-f", "-"];
  const tar = Bun.spawn(argv, { stdin: "pipe", stdout: "ignore", stderr: "pipe" });
  return {
    write: async (bytes) => {
      tar.stdin.write(bytes);
      await tar.stdin.flush();
    },
    end: async () => {
      await tar.stdin.end();
      if ((await tar.exited) !== 0)
        throw new StatusError(
          1,
          `cannot unpack to ${path}: ${(await new Response(tar.stderr).text()).trim()}`,
        );
    },
    abandon: async () => {
      tar.kill();
      await tar.exited;
    },
  };
}
