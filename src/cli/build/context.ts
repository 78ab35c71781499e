/** The argument of `build`: a directory, a URL, or what stdin brings. */
import { realpathSync, statSync } from "node:fs";
import { basename, dirname, relative, resolve } from "node:path";
import type { BuildContext } from "../../engine/types.ts";
import { StatusError } from "../errors.ts";

export type ContextSource =
  | { kind: "directory"; path: string }
  | { kind: "remote"; url: string }
  /** A tar on stdin; `bytes` is what was read of it to know. */
  | { kind: "archive"; bytes: AsyncIterable<Uint8Array> }
  /** A Dockerfile on stdin, and nothing else. */
  | { kind: "dockerfile"; text: Uint8Array };

export interface BuildSource {
  context: ContextSource;
  /** Path of the Dockerfile in its context. */
  filename?: string;
  /** The directory it is in, when that is not the context. */
  dockerfileDirectory?: string;
  /** `-f -`. */
  dockerfile?: Uint8Array;
}

const dockerfileLimit = 16 << 20;

/** Looks at the argument and at `-f`; refuses what is not there in docker's words. */
export async function findSource(argument: string, file: string): Promise<BuildSource> {
  if (argument === "-" && file === "-")
    throw new StatusError(1, "invalid argument: can't use stdin for both build context and dockerfile");
  const inline = file === "-" ? { dockerfile: await readStdin() } : {};
  if (argument === "-") {
    const context = await stdinContext();
    return { context, ...(file === "" ? {} : { filename: file }) };
  }
  if (isRemote(argument)) {
    const filename = file === "" || file === "-" ? {} : { filename: file };
    return { context: { kind: "remote", url: argument }, ...filename, ...inline };
  }
  const path = directoryOf(argument);
  const context = { kind: "directory", path } as const;
  if (file === "") return { context };
  if (file === "-") return { context, ...inline };
  return { context, ...placeOf(file, path) };
}

function directoryOf(argument: string): string {
  let path: string;
  try {
    path = realpathSync(argument);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      throw new StatusError(1, `unable to prepare context: path ${JSON.stringify(argument)} not found`);
    throw error;
  }
  if (!statSync(path).isDirectory())
    throw new StatusError(1, `unable to prepare context: ${argument} is not a directory`);
  return path;
}

/** A Dockerfile outside of the context comes with a directory of its own. */
function placeOf(file: string, context: string): Pick<BuildSource, "filename" | "dockerfileDirectory"> {
  const absolute = resolve(file);
  let directory: string;
  try {
    directory = realpathSync(dirname(absolute));
    statSync(absolute);
  } catch {
    // As buildx: a name is taken relative to the context as well.
    const inside = relative(context, resolve(context, file));
    if (!inside.startsWith("..") && exists(resolve(context, file))) return { filename: inside };
    throw new StatusError(
      1,
      `unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat ${absolute}: no such file or directory`,
    );
  }
  const inside = relative(context, directory);
  if (inside === "" || (!inside.startsWith("..") && !inside.startsWith("/")))
    return { filename: inside === "" ? basename(absolute) : `${inside}/${basename(absolute)}` };
  return { filename: basename(absolute), dockerfileDirectory: directory };
}

function exists(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Git URLs and web addresses, as docker tells them (its urlutil). */
export function isRemote(text: string): boolean {
  return /^(https?|git|ssh):\/\//.test(text) || /^git@[^:/]+:/.test(text) || /^github\.com\//.test(text);
}

export function describeDirectory(name: string, path: string): BuildContext {
  const stat = statSync(path, { bigint: true });
  return { name, path, device: String(stat.dev), inode: String(stat.ino) };
}

async function readStdin(): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>) {
    size += piece.length;
    if (size > dockerfileLimit) throw new StatusError(1, "the Dockerfile on stdin is larger than 16 MiB");
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Enough to tell an archive: tar's magic is at 257. */
const headSize = 512;

async function stdinContext(): Promise<ContextSource> {
  const stream = (Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  let head: Uint8Array = new Uint8Array(0);
  let ended = false;
  while (head.length < headSize && !ended) {
    const { value, done } = await stream.next();
    if (done) ended = true;
    else head = Buffer.concat([head, value]);
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    yield head;
    for (let next = await stream.next(); !next.done; next = await stream.next()) yield next.value;
  }
  if (isArchive(head)) return { kind: "archive", bytes: all() };
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of all()) {
    size += piece.length;
    if (size > dockerfileLimit) throw new StatusError(1, "the Dockerfile on stdin is larger than 16 MiB");
    pieces.push(piece);
  }
  return { kind: "dockerfile", text: Buffer.concat(pieces) };
}

/** tar, gzip, bzip2, xz and zstd by their first bytes. */
function isArchive(head: Uint8Array): boolean {
  const hex = Buffer.from(head.subarray(0, 6)).toString("hex");
  return (
    Buffer.from(head.subarray(257, 262)).toString("latin1") === "ustar" ||
    hex.startsWith("1f8b") ||
    hex.startsWith("425a68") ||
    hex === "fd377a585a00" ||
    hex.startsWith("28b52ffd")
  );
}
