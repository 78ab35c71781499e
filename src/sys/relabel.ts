/**
 * SELinux labels of files that are there already: what `:z`, `:Z` and Kubernetes' selinux_relabel ask for. The rules are
 * those of opencontainers/selinux, which the real engines share.
 */
import { closeSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { invalid } from "../base/errors.ts";
import { cString, displayName, openDirectoryAt, readDirectory } from "./directory.ts";
import { SyscallError, syscall } from "./libc.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH } from "./open.ts";
import { AT_FDCWD, S_IFDIR, S_IFMT, statAt } from "./stat.ts";
import { getXattrAt, trySetXattrAt } from "./xattr.ts";

const attribute = "security.selinux";
const ENOENT = 2;
const ENOTDIR = 20;
const ELOOP = 40;
const EOPNOTSUPP = 95;

/** After so many entries other work gets its turn. */
const breath = 200;

/** With another label of these the machine would not work any more. */
const refused = new Set(
  (
    "/ /bin /boot /dev /etc /etc/passwd /etc/pki /etc/shadow /home /lib /lib64 /media /opt /proc /root /run /sbin /srv /sys /tmp " +
    "/usr /var /var/lib /var/log"
  ).split(" "),
);

/** Throws for a path whose files keep their labels: the system's own directories, and the administrator's home. */
export function checkRelabel(
  path: string,
  environment: Record<string, string | undefined> = process.env,
): void {
  const plain = path === "/" ? path : path.replace(/\/$/, "");
  const homes = [environment["HOME"], homeOf(environment["SUDO_USER"])];
  if (refused.has(plain) || homes.includes(plain))
    throw invalid(`SELinux relabeling of ${plain} is not allowed`);
}

function homeOf(user: string | undefined): string | undefined {
  if (!user) return undefined;
  try {
    const lines = readFileSync("/etc/passwd", "utf8").split("\n");
    return lines.map((line) => line.split(":")).find(([name]) => name === user)?.[5];
  } catch {
    return undefined;
  }
}

/** Reads and writes labels; another one for tests on machines where the kernel takes none. */
export interface LabelAccess {
  get(directory: number, name: string): string | undefined;
  /** 0 or the negative errno. */
  set(directory: number, name: string, label: string): number;
}

const kernel: LabelAccess = {
  get(directory, name) {
    const value = getXattrAt(directory, name, attribute);
    // The kernel's value has a NUL at its end.
    return value && Buffer.from(value).toString().replace(/\0$/, "");
  },
  set: (directory, name, label) => trySetXattrAt(directory, name, attribute, Buffer.from(label)),
};

/**
 * Gives `path`, which is no symlink, and everything below it the label, `path` itself last: where it has the label
 * already an earlier time came to its end, and only what differs is written. No link is followed, whatever happens to
 * the tree meanwhile. What goes away is left; a file system that keeps no labels stays as it is.
 */
export async function relabel(path: string, label: string, access: LabelAccess = kernel): Promise<void> {
  if (label === "") return;
  checkRelabel(path);
  const plain = path.replace(/\/$/, "");
  const parent = dirname(plain);
  const name = Buffer.from(basename(plain)).toString("latin1");
  const directory = syscall("openat", [AT_FDCWD, parent, O_PATH | O_DIRECTORY | O_CLOEXEC], parent);
  try {
    await relabelEntry(directory, name, {
      label,
      access,
      fast: labelOf(access, directory, name) === label,
      entries: 0,
    });
  } finally {
    closeSync(directory);
  }
}

interface Walk {
  label: string;
  access: LabelAccess;
  fast: boolean;
  entries: number;
}

/** False where labels are not kept: nothing more is tried then. */
async function relabelEntry(parent: number, name: string, walk: Walk): Promise<boolean> {
  if (++walk.entries % breath === 0) await new Promise((done) => setImmediate(done));
  const stat = statAt(parent, cString(name));
  if (!stat) return true;
  if ((stat.mode & S_IFMT) === S_IFDIR && !(await relabelBelow(parent, name, walk))) return false;
  const { access, label } = walk;
  if (walk.fast && labelOf(access, parent, name) === label) return true;
  const result = -access.set(parent, name, label);
  if (result === 0 || result === ENOENT) return true;
  if (result === EOPNOTSUPP) return false;
  throw new SyscallError("lsetxattr", result, `${attribute} of ${displayName(name)}`);
}

async function relabelBelow(parent: number, name: string, walk: Walk): Promise<boolean> {
  let directory: number;
  try {
    directory = openDirectoryAt(parent, name);
  } catch (error) {
    // It went away, or something else has its name now.
    if (error instanceof SyscallError && [ENOENT, ENOTDIR, ELOOP].includes(error.errno)) return true;
    throw error;
  }
  try {
    for (const entry of readDirectory(directory))
      if (!(await relabelEntry(directory, entry.name, walk))) return false;
    return true;
  } finally {
    closeSync(directory);
  }
}

/** Undefined as well for what went away. */
function labelOf(access: LabelAccess, directory: number, name: string): string | undefined {
  try {
    return access.get(directory, name);
  } catch {
    return undefined;
  }
}
