/** A log's files while the monitor rotates them: `path`, and `path.1` (the youngest) to `path.N`. */
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { sleep } from "../../base/async.ts";

export interface OpenFile {
  handle: FileHandle;
  inode: number;
}

/** A rotation is some renames; one that was not finished after so many looks (2 ms apart) was broken off. */
const looks = 50;

/**
 * All files of a log, oldest first and open. None of them is missed or there twice because of a rotation under way: it is
 * looked again until every file was at its place before and after, with no number left out.
 */
export async function openAll(path: string): Promise<OpenFile[]> {
  for (let look = 1; ; look++) {
    const places = await namesOf(path);
    const files = await Promise.all(places.map(openOne));
    const opened = files.filter((file) => file !== undefined);
    const whole = places.every((place, at) => numberOf(path, place) === places.length - 1 - at);
    const same = whole && (await Promise.all(places.map(inodeAt))).every((at, n) => at === files[n]?.inode);
    if (same || look === looks) return opened.filter(isFirstOfItsKind);
    for (const { handle } of opened) await handle.close();
    await sleep(2);
  }
}

const isFirstOfItsKind = ({ inode }: OpenFile, at: number, all: OpenFile[]) =>
  all.findIndex((other) => other.inode === inode) === at;

/** The paths of a log's files, oldest first. */
async function namesOf(path: string): Promise<string[]> {
  const directory = dirname(path);
  const names = await readdir(directory).catch(() => []);
  const own = names.map((name) => `${directory}/${name}`).filter((name) => numberOf(path, name) >= 0);
  return own.sort((a, b) => numberOf(path, b) - numberOf(path, a));
}

/** 0 for the path itself, N for `path.N`, -1 for what is another's. */
function numberOf(path: string, name: string): number {
  if (basename(name) === basename(path)) return 0;
  const suffix = name.startsWith(`${path}.`) ? name.slice(path.length + 1) : "";
  return /^[1-9]\d*$/.test(suffix) ? Number(suffix) : -1;
}

export async function openOne(path: string): Promise<OpenFile | undefined> {
  try {
    const handle = await open(path, "r");
    return { handle, inode: (await handle.stat()).ino };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Undefined between two renames, and after the log's removal. */
export async function inodeAt(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino;
  } catch {
    return undefined;
  }
}
