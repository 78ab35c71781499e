import { type FSWatcher, mkdirSync, readFileSync, rmSync, statSync, watch } from "node:fs";
import { join } from "node:path";

/** How often a process is looked after whose conmon may have been killed. */
const lookAfter = 1000;
/** After its process is gone, conmon still has output to write before it leaves the code. */
const patience = 5000;

/** The directory where conmons leave their containers' exit codes, one file each. */
export class ExitFiles {
  readonly #dir: string;
  #watcher: FSWatcher | undefined;
  readonly #waiting = new Map<string, () => void>();

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o755 });
  }

  read(id: string): { exitCode: number; exitedAt: string } | undefined {
    const path = join(this.#dir, id);
    try {
      const text = readFileSync(path, "utf8").trim();
      if (!/^-?\d+$/.test(text)) return undefined;
      return { exitCode: Number(text), exitedAt: timeOf(path) };
    } catch {
      return undefined;
    }
  }

  remove(id: string): void {
    rmSync(join(this.#dir, id), { force: true });
  }

  /** Until the file is there, or the process has been `gone` for so long that it will not come. */
  async wait(id: string, gone: () => boolean, signal: AbortSignal): Promise<void> {
    let since = 0;
    while (!signal.aborted && !this.read(id)) {
      if (!gone()) since = 0;
      else if (since === 0) since = Date.now();
      else if (Date.now() - since > patience) return;
      await this.#change(id, signal);
    }
    // The server closes: nobody is to be told of an end that did not happen.
    if (signal.aborted && !this.read(id)) await new Promise(() => {});
  }

  #change(id: string, signal: AbortSignal): Promise<void> {
    this.#follow();
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        if (this.#waiting.get(id) === wake) this.#waiting.delete(id);
        signal.removeEventListener("abort", wake);
        if (this.#waiting.size === 0) this.#unfollow();
        resolve();
      };
      const timer = setTimeout(wake, lookAfter);
      signal.addEventListener("abort", wake, { once: true });
      this.#waiting.set(id, wake);
      // It may have come before the watch.
      if (this.read(id)) wake();
    });
  }

  #follow(): void {
    this.#watcher ??= watch(this.#dir, { persistent: false }, (_, name) => {
      if (name !== null) this.#waiting.get(name)?.();
    });
  }

  #unfollow(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}

/** When the file was written, to the nanosecond. */
function timeOf(path: string): string {
  const { mtimeNs } = statSync(path, { bigint: true });
  const seconds = new Date(Number(mtimeNs / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(mtimeNs % 1_000_000_000n).padStart(9, "0")}Z`;
}
