/** An OCI bundle on Debian's static busybox, a state root of its own, and our runc to run it with. */
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultSpec } from "../../src/oci/default-spec.ts";
import type { Spec } from "../../src/oci/runtime-spec.ts";
import { corten, type Output } from "./engine.ts";

const applets =
  "sh true false cat ls echo sleep mount umount id ps hostname env test stty mkdir mknod touch stat readlink grep head kill dd seq printf chmod wc tty date";

let counter = 0;

export interface Bundle extends AsyncDisposable {
  readonly directory: string;
  readonly rootfs: string;
  readonly root: string;
  /** How runc is called. */
  readonly command: readonly string[];
  /** Unique, so that tests can run at the same time; also the last part of the cgroup's path. */
  readonly id: string;
  /** Absolute path of the cgroup in the hierarchies. */
  readonly cgroup: string;
  /** Writes config.json: runc's default without a terminal, running `args`, as changed by `change`. */
  configure(args: string[], change?: (spec: Spec) => void): void;
  /** Our runc with this bundle's root. */
  runc(...argv: string[]): Promise<Output>;
}

/** Makes a bundle; disposing it deletes its containers and all files, whatever state they are in. */
export function makeBundle(command: readonly string[] = [...corten, "runc"]): Bundle {
  const directory = mkdtempSync(join(tmpdir(), "corten-bundle-"));
  const rootfs = join(directory, "rootfs");
  const root = join(directory, "state");
  const id = `ct-${process.pid}-${Date.now().toString(36)}-${counter++}`;
  for (const path of ["bin", "dev", "etc", "proc", "sys", "tmp", "root", "home/user"])
    mkdirSync(join(rootfs, path), { recursive: true });
  copyFileSync("/bin/busybox", join(rootfs, "bin/busybox"));
  for (const applet of applets.split(" ")) linkSync(join(rootfs, "bin/busybox"), join(rootfs, "bin", applet));
  writeFileSync(
    join(rootfs, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
  );
  // Its parent is its own, too: who takes a parent away while another runtime is about to use it makes that fail.
  const parent = `corten-test-${id}`;
  const cgroup = `/${parent}/${id}`;
  // Output goes to files: a container that is left running holds what it was given, and nobody may wait for that.
  const runc = async (...argv: string[]): Promise<Output> => {
    const output = join(directory, `.output-${counter++}`);
    const child = Bun.spawn([...command, "--root", root, ...argv], {
      cwd: directory,
      stdio: ["ignore", Bun.file(`${output}.out`), Bun.file(`${output}.err`)],
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
    const code = await child.exited;
    clearTimeout(timer);
    const read = (path: string) => (existsSync(path) ? readFileSync(path, "utf8") : "");
    return { code, stdout: read(`${output}.out`), stderr: read(`${output}.err`) };
  };
  return {
    directory,
    rootfs,
    root,
    command,
    id,
    cgroup,
    runc,
    configure(args, change) {
      const spec = defaultSpec();
      spec.process!.terminal = false;
      spec.process!.args = args;
      delete spec.process!.rlimits;
      spec.root!.readonly = false;
      spec.linux!.cgroupsPath = cgroup;
      change?.(spec);
      writeFileSync(join(directory, "config.json"), JSON.stringify(spec));
    },
    async [Symbol.asyncDispose]() {
      const listed = await runc("list", "-q");
      for (const one of listed.stdout.split("\n").filter(Boolean)) await runc("delete", "-f", one);
      rmSync(directory, { recursive: true, force: true });
      for (const hierarchy of readdirSync("/sys/fs/cgroup", { withFileTypes: true })) {
        if (!hierarchy.isDirectory()) continue;
        try {
          rmdirSync(join("/sys/fs/cgroup", hierarchy.name, parent));
        } catch {}
      }
    },
  };
}

/** True when a cgroup of this path exists in any hierarchy. */
export function cgroupExists(path: string): boolean {
  return readdirSync("/sys/fs/cgroup").some((name) => {
    try {
      return statSync(join("/sys/fs/cgroup", name, path)).isDirectory();
    } catch {
      return false;
    }
  });
}
