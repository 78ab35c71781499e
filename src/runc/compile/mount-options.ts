/** Mount options of the configuration (runtime-spec: config-linux, mount options) in the kernel's terms. */

/** linux/mount.h MOUNT_ATTR_*. */
export const attribute = {
  ro: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  noatime: 0x10,
  strictatime: 0x20,
  nodiratime: 0x80,
  nosymfollow: 0x200000,
} as const;
/** The field that holds relatime (0), noatime or strictatime. */
const atimeMask = 0x70;

/** Propagation flags of mount(2). */
export const propagation = {
  recursive: 0x4000,
  unbindable: 0x20000,
  private: 0x40000,
  slave: 0x80000,
  shared: 0x100000,
} as const;

interface Change {
  set?: number;
  clear?: number;
}

const attributes: Record<string, Change> = {
  ro: { set: attribute.ro },
  rw: { clear: attribute.ro },
  nosuid: { set: attribute.nosuid },
  suid: { clear: attribute.nosuid },
  nodev: { set: attribute.nodev },
  dev: { clear: attribute.nodev },
  noexec: { set: attribute.noexec },
  exec: { clear: attribute.noexec },
  noatime: { set: attribute.noatime, clear: atimeMask },
  atime: { clear: atimeMask },
  relatime: { clear: atimeMask },
  norelatime: { clear: atimeMask },
  strictatime: { set: attribute.strictatime, clear: atimeMask },
  nostrictatime: { clear: atimeMask },
  nodiratime: { set: attribute.nodiratime },
  diratime: { clear: attribute.nodiratime },
  nosymfollow: { set: attribute.nosymfollow },
  symfollow: { clear: attribute.nosymfollow },
};

/** Flags of the filesystem itself, for which fsconfig(2) has keys; and what has no meaning any more. */
const superblock = new Set(["sync", "dirsync", "lazytime", "mand", "silent"]);
const ignored = new Set([
  "defaults",
  "async",
  "nolazytime",
  "nomand",
  "loud",
  "acl",
  "noacl",
  "iversion",
  "noiversion",
  "remount",
]);

const propagations: Record<string, number> = {
  private: propagation.private,
  rprivate: propagation.private | propagation.recursive,
  slave: propagation.slave,
  rslave: propagation.slave | propagation.recursive,
  shared: propagation.shared,
  rshared: propagation.shared | propagation.recursive,
  unbindable: propagation.unbindable,
  runbindable: propagation.unbindable | propagation.recursive,
};

export interface MountOptions {
  bind: boolean;
  recursive: boolean;
  set: number;
  clear: number;
  recursiveSet: number;
  recursiveClear: number;
  propagation: number[];
  copyUp: boolean;
  idmap: "none" | "idmap" | "ridmap";
  /** What is the filesystem's own: `key` or `key=value`. */
  data: string[];
}

/** Sorts options into attributes, propagation and the filesystem's own data; a later one wins over an earlier. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  const result: MountOptions = {
    bind: false,
    recursive: false,
    set: 0,
    clear: 0,
    recursiveSet: 0,
    recursiveClear: 0,
    propagation: [],
    copyUp: false,
    idmap: "none",
    data: [],
  };
  for (const option of options) {
    const change = attributes[option];
    const recursive = option.startsWith("r") ? attributes[option.slice(1)] : undefined;
    const spread = propagations[option];
    if (change) {
      result.set = (result.set & ~(change.clear ?? 0)) | (change.set ?? 0);
      result.clear = (result.clear & ~(change.set ?? 0)) | (change.clear ?? 0);
    } else if (recursive) {
      result.recursiveSet = (result.recursiveSet & ~(recursive.clear ?? 0)) | (recursive.set ?? 0);
      result.recursiveClear = (result.recursiveClear & ~(recursive.set ?? 0)) | (recursive.clear ?? 0);
    } else if (spread !== undefined) {
      result.propagation.push(spread);
    } else if (option === "bind" || option === "rbind") {
      result.bind = true;
      result.recursive ||= option === "rbind";
    } else if (option === "tmpcopyup") {
      result.copyUp = true;
    } else if (option === "idmap" || option === "ridmap") {
      result.idmap = option;
    } else if (!ignored.has(option)) {
      result.data.push(option);
    }
  }
  return result;
}

/** rootfsPropagation's value as flags, or undefined when it is not one of the known. */
export function rootPropagation(value: string): number | undefined {
  return value === "" ? 0 : propagations[value];
}

/** All options that are understood, for `runc features`. */
export function knownMountOptions(): string[] {
  const names = new Set([
    ...Object.keys(attributes),
    ...Object.keys(attributes).map((name) => `r${name}`),
    ...Object.keys(propagations),
    ...superblock,
    ...ignored,
    "bind",
    "rbind",
    "tmpcopyup",
    "idmap",
    "ridmap",
  ]);
  return [...names].sort();
}
