/** Who writes an output on this side: a file, a directory, or stdout. */
import { realpathSync, statSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Cli } from "../cli.ts";
import { StatusError } from "../errors.ts";

/** What takes the bytes of an output. */
export interface Place {
  write(bytes: Uint8Array): Promise<void>;
  /** Complete: the file gets its name. */
  end(): Promise<void>;
  /** Nothing half written is left. */
  abandon(): Promise<void>;
}

export const stdoutPlace = (cli: Cli): Place => ({
  write: (bytes) => cli.out.pour(bytes),
  end: async () => {},
  abandon: async () => {},
});

/** A regular file appears, or is replaced, when all of it is there; a device or a pipe is written to. */
export async function filePlace(path: string): Promise<Place> {
  const existing = lookUp(path);
  const target = existing?.path ?? resolve(path);
  if (existing && !existing.stat.isFile()) {
    const file = await open(target, "w");
    const close = () => file.close().catch(() => {});
    return { write: (bytes) => file.writeFile(bytes), end: close, abandon: close };
  }
  await mkdir(dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}.part`;
  await rm(temporary, { force: true });
  const file = await open(temporary, "wx", existing ? existing.stat.mode & 0o777 : 0o666);
  return {
    write: (bytes) => file.writeFile(bytes),
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

/** Links are followed: what they lead to is replaced, not they. */
function lookUp(path: string) {
  try {
    const target = realpathSync(path);
    return { path: target, stat: statSync(target) };
  } catch {
    return undefined;
  }
}

/** A tar unpacked by `tar`, with the rights of who called us: files are theirs. */
export async function directoryPlace(path: string): Promise<Place> {
  await mkdir(path, { recursive: true });
  const argv = ["tar", "-x", "-p", "--no-same-owner", "--delay-directory-restore", "-C", path, "-f", "-"];
  const tar = Bun.spawn(argv, { stdin: "pipe", stdout: "ignore", stderr: "pipe" });
  const said = new Response(tar.stderr).text();
  return {
    write: async (bytes) => {
      try {
        tar.stdin.write(bytes);
        await tar.stdin.flush();
      } catch {
        // It has ended; why, it says at the end.
      }
    },
    end: async () => {
      try {
        await tar.stdin.end();
      } catch {
        // As above.
      }
      if ((await tar.exited) !== 0)
        throw new StatusError(1, `ERROR: cannot unpack to ${path}: ${(await said).trim()}`);
    },
    abandon: async () => {
      tar.kill();
      await tar.exited;
    },
  };
}

/**
 * A directory that will have only what comes (`mode=delete`). It is unpacked inside of it first, so that a build that fails
 * removes nothing; then the old entries go and the new ones take their names.
 */
export async function mirrorPlace(path: string): Promise<Place> {
  const part = join(path, `.${process.pid}.part`);
  await rm(part, { recursive: true, force: true });
  const unpacked = await directoryPlace(part);
  return {
    write: unpacked.write,
    end: async () => {
      await unpacked.end();
      const fresh = basename(part);
      for (const name of await readdir(path))
        if (name !== fresh) await rm(join(path, name), { recursive: true, force: true });
      for (const name of await readdir(part)) await rename(join(part, name), join(path, name));
      await rmdir(part);
    },
    abandon: async () => {
      await unpacked.abandon();
      await rm(part, { recursive: true, force: true });
    },
  };
}
