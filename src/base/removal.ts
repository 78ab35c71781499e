import { mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "./errors.ts";
import { log } from "./log.ts";

/**
 * Removes directories by renaming them into one of its own: gone at once for everybody, while the blocks are freed on
 * another thread. An ext4 mounted with `discard` takes a millisecond or two for every directory and file freed.
 * What a killed process left there is removed when the next one opens the same place.
 */
export class Removal {
  readonly #place: string;
  #made = false;
  #count = 0;
  #work: Promise<void> = Promise.resolve();

  /** `place` is on the file system of what will be removed. */
  constructor(place: string) {
    this.#place = place;
    for (const name of entries(place)) this.#later(join(place, name));
  }

  /** One that is not there is fine. */
  discard(path: string): void {
    if (!this.#made) {
      mkdirSync(this.#place, { recursive: true, mode: 0o700 });
      this.#made = true;
    }
    const aside = join(this.#place, `${process.pid}-${Date.now()}-${this.#count++}`);
    try {
      renameSync(path, aside);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return;
      // Another file system: the slow way.
      removeRootfs(path);
      rmSync(path, { recursive: true, force: true });
      return;
    }
    this.#later(aside);
  }

  /** When everything discarded so far is gone. */
  get settled(): Promise<void> {
    return this.#work;
  }

  #later(path: string): void {
    this.#work = this.#work.then(async () => {
      try {
        await removeTree(path);
      } catch (error) {
        log.warn("cannot remove a directory, the next start tries again", { path, error: messageOf(error) });
      }
    });
  }
}

async function removeTree(path: string): Promise<void> {
  await rmdir(join(path, "rootfs")).catch(unlessMissing);
  await rm(path, { recursive: true, force: true });
}

/** Never into what may be mounted: a bundle's root is removed as the empty directory that it must be. */
function removeRootfs(path: string): void {
  try {
    rmdirSync(join(path, "rootfs"));
  } catch (error) {
    unlessMissing(error as NodeJS.ErrnoException);
  }
}

function unlessMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
}

function entries(place: string): string[] {
  try {
    return readdirSync(place);
  } catch {
    return [];
  }
}
