/** mount(8)'s words for a mount's options. */

export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_SYNCHRONOUS = 16;
export const MS_REMOUNT = 32;
export const MS_MANDLOCK = 64;
export const MS_DIRSYNC = 128;
export const MS_NOSYMFOLLOW = 256;
export const MS_NOATIME = 1024;
export const MS_NODIRATIME = 2048;
export const MS_BIND = 4096;
export const MS_REC = 16384;
export const MS_SILENT = 32768;
export const MS_UNBINDABLE = 1 << 17;
export const MS_PRIVATE = 1 << 18;
export const MS_SLAVE = 1 << 19;
export const MS_SHARED = 1 << 20;
export const MS_RELATIME = 1 << 21;
export const MS_STRICTATIME = 1 << 24;

/** mount(8)'s words: [flag, whether the word clears it]. */
const flagWords: Readonly<Record<string, readonly [flag: number, clear?: boolean]>> = {
  async: [MS_SYNCHRONOUS, true],
  atime: [MS_NOATIME, true],
  bind: [MS_BIND],
  defaults: [0],
  dev: [MS_NODEV, true],
  diratime: [MS_NODIRATIME, true],
  dirsync: [MS_DIRSYNC],
  exec: [MS_NOEXEC, true],
  mand: [MS_MANDLOCK],
  noatime: [MS_NOATIME],
  nodev: [MS_NODEV],
  nodiratime: [MS_NODIRATIME],
  noexec: [MS_NOEXEC],
  nomand: [MS_MANDLOCK, true],
  norelatime: [MS_RELATIME, true],
  nostrictatime: [MS_STRICTATIME, true],
  nosuid: [MS_NOSUID],
  nosymfollow: [MS_NOSYMFOLLOW],
  rbind: [MS_BIND | MS_REC],
  relatime: [MS_RELATIME],
  remount: [MS_REMOUNT],
  ro: [MS_RDONLY],
  rw: [MS_RDONLY, true],
  silent: [MS_SILENT],
  strictatime: [MS_STRICTATIME],
  suid: [MS_NOSUID, true],
  symfollow: [MS_NOSYMFOLLOW, true],
  sync: [MS_SYNCHRONOUS],
};

const propagationWords: Readonly<Record<string, number>> = {
  private: MS_PRIVATE,
  rprivate: MS_PRIVATE | MS_REC,
  shared: MS_SHARED,
  rshared: MS_SHARED | MS_REC,
  slave: MS_SLAVE,
  rslave: MS_SLAVE | MS_REC,
  unbindable: MS_UNBINDABLE,
  runbindable: MS_UNBINDABLE | MS_REC,
};

export interface ParsedOptions {
  flags: number;
  /** Propagation changes, each a mount(2) of its own after the mount. */
  propagation: number[];
  /** What the file system itself understands. */
  data: string[];
}

/** Sorts mount(8) words into flags, propagation and file system data; user-space words (`x-…`) are dropped. */
export function parseMountOptions(options: readonly string[]): ParsedOptions {
  const parsed: ParsedOptions = { flags: 0, propagation: [], data: [] };
  for (const option of options) {
    const flag = flagWords[option];
    const propagation = propagationWords[option];
    if (flag) parsed.flags = flag[1] ? parsed.flags & ~flag[0] : parsed.flags | flag[0];
    else if (propagation !== undefined) parsed.propagation.push(propagation);
    else if (option !== "" && !/^x-/i.test(option)) parsed.data.push(option);
  }
  return parsed;
}
