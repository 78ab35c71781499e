/** Where the directories of clients are kept from build to build, so that only what changed has to come. */
import { createHash, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { Removal } from "../../base/removal.ts";

/** Directories that are kept; the longest unused goes first. */
const maxKept = 32;
/** Of one key. */
const maxVariants = 5;

export interface Place {
  readonly directory: string;
  /** Removes something below it, in the background. */
  discard(path: string): void;
  /** It stays for the next build of the same key, unless it is of one build only. */
  release(): void;
}

/** Below `root` (services.root), which is this process's alone. */
export class Mirrors {
  readonly #parent: string;
  readonly #removal: Removal;
  readonly #used = new Set<string>();

  constructor(root: string) {
    this.#parent = join(root, "mirrors");
    this.#removal = new Removal(join(root, "removed"), { plain: true });
    mkdirSync(this.#parent, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(this.#parent))
      if (name.startsWith("once-")) this.#removal.discard(join(this.#parent, name));
  }

  /**
   * A directory for this key that no other build is using; without a key, one that goes when it is released. Clients give
   * different directories the same key (docker's is made of the path as it was typed, mostly `.`): `likeness` says how much of
   * what is to come a directory has, from 0 to 1.
   */
  take(key: string | undefined, likeness: (directory: string) => number = () => 1): Place {
    const discard = (path: string) => this.#removal.discard(path);
    if (key === undefined) {
      const directory = mkdtempSync(join(this.#parent, "once-"));
      return { directory, discard, release: () => this.#removal.discard(directory) };
    }
    const prefix = `${createHash("sha256").update(key).digest("hex").slice(0, 32)}-`;
    const name = this.#choose(prefix, likeness);
    this.#used.add(name);
    const directory = join(this.#parent, name);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return {
      directory,
      discard,
      release: () => {
        if (!this.#used.delete(name)) return;
        if (existsSync(directory)) utimesSync(directory, new Date(), new Date());
        this.trim(maxKept);
      },
    };
  }

  #choose(prefix: string, likeness: (directory: string) => number): string {
    const all = readdirSync(this.#parent).filter((name) => name.startsWith(prefix));
    const free = all
      .filter((name) => !this.#used.has(name))
      .map((name) => {
        const directory = join(this.#parent, name);
        return { name, like: likeness(directory), time: statSync(directory).mtimeMs };
      })
      .sort((a, b) => b.like - a.like || a.time - b.time);
    const best = free[0];
    if (best && best.like >= 0.5) return best.name;
    if (all.length < maxVariants)
      for (let number = 0; ; number++)
        if (!all.includes(`${prefix}${number}`) && !this.#used.has(`${prefix}${number}`))
          return `${prefix}${number}`;
    if (best) return free.reduce((oldest, one) => (one.time < oldest.time ? one : oldest)).name;
    return `${prefix}${randomUUID()}`;
  }

  /** Removes those that nobody uses until at most `count` are left. */
  trim(count: number): void {
    const unused = readdirSync(this.#parent)
      .filter((name) => !name.startsWith("once-") && !this.#used.has(name))
      .map((name) => ({ name, time: statSync(join(this.#parent, name)).mtimeMs }))
      .sort((a, b) => a.time - b.time);
    for (const { name } of unused.slice(0, Math.max(0, unused.length - count)))
      this.#removal.discard(join(this.#parent, name));
  }
}
