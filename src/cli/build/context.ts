/** The argument of `build` and `-f`: a directory, a URL, or what stdin brings. */
import { realpathSync, statSync } from "node:fs";
import { basename, dirname, relative, resolve } from "node:path";
import type { BuildContext } from "../../engine/types.ts";
import { goQuote } from "../format/quote.ts";
import { buildProblem } from "./csv.ts";

export type ContextSource =
  | { kind: "directory"; path: string }
  | { kind: "remote"; url: string }
  /** A tar on stdin. */
  | { kind: "archive"; bytes: AsyncIterable<Uint8Array> }
  /** A Dockerfile on stdin, and nothing else. */
  | { kind: "dockerfile"; text: Uint8Array };

export interface BuildSource {
  context: ContextSource;
  /** Path of the Dockerfile in its context. */
  filename?: string;
  /** The directory it is in, when that is not the context. */
  dockerfileDirectory?: string;
  /** `-f -`, or `-f URL`. */
  dockerfile?: Uint8Array;
}

/** As much as BuildKit reads. */
const dockerfileLimit = 2_000_000;
const stdin = (): AsyncIterable<Uint8Array> => Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>;

/** Looks at the argument and at `-f`; refuses what is not there in buildx' words. */
export async function findSource(
  argument: string,
  file: string,
  input: () => AsyncIterable<Uint8Array> = stdin,
): Promise<BuildSource> {
  if (argument === "")
    throw buildProblem('please specify build context (e.g. "." for the current directory)');
  if (argument === "-") {
    if (file === "-")
      throw buildProblem("invalid argument: can't use stdin for both build context and dockerfile");
    const context = await stdinContext(input());
    if (context.kind === "dockerfile" && file !== "")
      throw buildProblem("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles");
    return { context, ...(file === "" ? {} : { filename: file }) };
  }
  const directory = isDirectory(argument);
  const remote = isRemote(argument);
  if (!directory && !remote)
    throw buildProblem(`unable to prepare context: path ${goQuote(argument)} not found`);
  if (directory) {
    const path = realpathSync(argument);
    const context = { kind: "directory", path } as const;
    if (file === "") return { context };
    return { context, ...((await inlineDockerfile(file, input)) ?? placeOf(file, path)) };
  }
  const context = { kind: "remote", url: argument } as const;
  if (file === "") return { context };
  const inline = await inlineDockerfile(file, input);
  if (inline) return { context, ...inline };
  return { context, ...(file.startsWith("/") ? placeOf(file, undefined) : { filename: file }) };
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

async function inlineDockerfile(
  file: string,
  input: () => AsyncIterable<Uint8Array>,
): Promise<{ dockerfile: Uint8Array } | undefined> {
  if (file === "-") return { dockerfile: await readAll(input(), "stdin") };
  if (!/^https?:\/\//.test(file)) return undefined;
  let answer: Response;
  try {
    answer = await fetch(file);
  } catch (error) {
    throw buildProblem(`cannot get the Dockerfile ${file}: ${(error as Error).message}`);
  }
  if (!answer.ok || !answer.body)
    throw buildProblem(`cannot get the Dockerfile ${file}: invalid response status ${answer.status}`);
  return { dockerfile: await readAll(answer.body as unknown as AsyncIterable<Uint8Array>, file) };
}

/** A Dockerfile outside of the context comes with a directory of its own. Names are relative to where we are. */
function placeOf(
  file: string,
  context: string | undefined,
): Pick<BuildSource, "filename" | "dockerfileDirectory"> {
  const absolute = resolve(file);
  const name = basename(absolute);
  let directory: string;
  try {
    directory = realpathSync(dirname(absolute));
  } catch {
    throw buildProblem(`resolve : lstat ${dirname(file)}: no such file or directory`);
  }
  if (context === undefined) return { filename: name, dockerfileDirectory: directory };
  const inside = relative(context, directory);
  if (inside === "") return { filename: name };
  if (inside !== ".." && !inside.startsWith("../")) return { filename: `${inside}/${name}` };
  return { filename: name, dockerfileDirectory: directory };
}

/** Git URLs and web addresses, as docker tells them. */
export function isRemote(text: string): boolean {
  return (
    /^(https?|git|ssh):\/\//.test(text) ||
    /^[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:[^:]/.test(text) ||
    /^github\.com\/[^/]+\/[^/]+/.test(text)
  );
}

/** Git by SSH, for which an agent is wanted whether it was asked for or not. */
export const isGitSsh = (text: string): boolean =>
  text.startsWith("ssh://") || (isRemote(text) && /^[^/:]+@[^/:]+:/.test(text));

export function describeDirectory(name: string, path: string): BuildContext {
  const stat = statSync(path, { bigint: true });
  return { name, path, device: String(stat.dev), inode: String(stat.ino) };
}

async function readAll(stream: AsyncIterable<Uint8Array>, what: string): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of stream) {
    size += piece.length;
    if (size > dockerfileLimit) throw buildProblem(`Dockerfile ${what} bigger than allowed max size (2MB)`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Enough to tell an archive: the first header of a tar. */
const headSize = 512;

async function stdinContext(input: AsyncIterable<Uint8Array>): Promise<ContextSource> {
  const stream = input[Symbol.asyncIterator]();
  let head: Uint8Array = new Uint8Array(0);
  while (head.length < headSize) {
    const { value, done } = await stream.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    yield head;
    for (let next = await stream.next(); !next.done; next = await stream.next()) yield next.value;
  }
  if (isArchive(head)) return { kind: "archive", bytes: all() };
  return { kind: "dockerfile", text: await readAll(all(), "stdin") };
}

/** tar, gzip, bzip2, xz and zstd by their first bytes. */
export function isArchive(head: Uint8Array): boolean {
  const hex = Buffer.from(head.subarray(0, 6)).toString("hex");
  return (
    hex.startsWith("1f8b08") ||
    hex.startsWith("425a68") ||
    hex === "fd377a585a00" ||
    hex.startsWith("28b52ffd") ||
    isTarHeader(head)
  );
}

/** The checksum tells, also in old archives without a magic number: the header's sum, its own field taken as blanks. */
function isTarHeader(head: Uint8Array): boolean {
  if (head.length < headSize) return false;
  const field = Buffer.from(head.subarray(148, 156)).toString("latin1");
  const wanted = /^[ \0]*([0-7]{1,7})[ \0]*$/.exec(field)?.[1];
  // An empty archive is two blocks of zeros.
  if (wanted === undefined) return head.subarray(0, headSize).every((byte) => byte === 0);
  let sum = 0;
  for (let at = 0; at < headSize; at++) sum += at >= 148 && at < 156 ? 32 : head[at]!;
  return sum === Number.parseInt(wanted, 8);
}
