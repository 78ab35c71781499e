import { statSync } from "node:fs";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";

const patienceMilliseconds = 5000;

/**
 * The newest version of the bootstrap protocol that a containerd takes: 3 from 2.0 on. containerd tells every shim that it
 * is 2 (MAX_SHIM_VERSION), so its program is asked, once as long as its file is the same.
 */
export class Versions {
  readonly #known = new Map<string, Promise<number>>();

  of(binary: string): Promise<number> {
    if (binary === "") return Promise.resolve(2);
    let key: string;
    try {
      const { dev, ino, mtimeMs } = statSync(binary);
      key = `${binary} ${dev} ${ino} ${mtimeMs}`;
    } catch {
      return Promise.resolve(2);
    }
    let version = this.#known.get(key);
    if (!version) {
      version = ask(binary).catch((error) => {
        log.warn(`${binary} does not tell its version`, { error: messageOf(error) });
        this.#known.delete(key);
        return 2;
      });
      this.#known.set(key, version);
    }
    return version;
  }
}

async function ask(binary: string): Promise<number> {
  const child = Bun.spawn([binary, "--version"], {
    stdio: ["ignore", "pipe", "ignore"],
    timeout: patienceMilliseconds,
  });
  return takesVersion3(await new Response(child.stdout).text()) ? 3 : 2;
}

/** By what `containerd --version` prints: the program's name, where it is from, its version and its commit. */
export const takesVersion3 = (printed: string): boolean =>
  Number(/(?:^|\s)v?(\d+)\.\d+\.\d+/.exec(printed)?.[1]) >= 2;
