import { mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "./errors.ts";
import { log } from "./log.ts";

/** Milliseconds between a removal and the work for it. */
const delay = 30;

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
  readonly #bundles: boolean;
  #waiting: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `place` is on the file system of what will be removed; `plain`: none of them is a bundle, with a rootfs. */
  constructor(place: string, options: { plain?: boolean } = {}) {
    this.#place = place;
    this.#bundles = !options.plain;
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
      if (this.#bundles) removeRootfs(path);
      rmSync(path, { recursive: true, force: true });
      return;
    }
    this.#later(aside);
  }

  /** When everything discarded so far is gone. */
  get settled(): Promise<void> {
    this.#flush();
    return this.#work;
  }

  /** Not at once: whoever has just waited for the end of something often has the next thing to ask. */
  #later(path: string): void {
    this.#waiting.push(path);
    this.#timer ??= setTimeout(() => this.#flush(), delay);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const paths = this.#waiting;
    this.#waiting = [];
    this.#work = this.#work.then(async () => {
      for (const path of paths) {
        try {
          await removeTree(path, this.#bundles);
        } catch (error) {
          log.warn("cannot remove a directory, the next start tries again", {
            path,
            error: messageOf(error),
          });
        }
      }
    });
  }
}

/** A bundle's rootfs is removed first, as the empty directory that it must be: never into what may be mounted. */
async function removeTree(path: string, bundle: boolean): Promise<void> {
  if (bundle) await rmdir(join(path, "rootfs")).catch(unlessMissing);
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
