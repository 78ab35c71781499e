/** Go's os.FileMode, which files' modes travel as. */
const high = {
  directory: 2 ** 31,
  symlink: 2 ** 27,
  device: 2 ** 26,
  fifo: 2 ** 25,
  socket: 2 ** 24,
  setuid: 2 ** 23,
  setgid: 2 ** 22,
  character: 2 ** 21,
  sticky: 2 ** 20,
  irregular: 2 ** 19,
} as const;

export type FileType =
  | "file"
  | "directory"
  | "symlink"
  | "fifo"
  | "character"
  | "block"
  | "socket"
  | "irregular";

const has = (mode: number, bit: number): boolean => Math.floor(mode / bit) % 2 === 1;

export function fromGoMode(mode: number): { type: FileType; mode: number } {
  const type = has(mode, high.directory)
    ? "directory"
    : has(mode, high.symlink)
      ? "symlink"
      : has(mode, high.fifo)
        ? "fifo"
        : has(mode, high.socket)
          ? "socket"
          : has(mode, high.device)
            ? has(mode, high.character)
              ? "character"
              : "block"
            : has(mode, high.irregular)
              ? "irregular"
              : "file";
  const special =
    (has(mode, high.setuid) ? 0o4000 : 0) |
    (has(mode, high.setgid) ? 0o2000 : 0) |
    (has(mode, high.sticky) ? 0o1000 : 0);
  return { type, mode: (mode & 0o777) | special };
}

/** A stat's format bits, in four bits. */
const formats: ReadonlyMap<number, number> = new Map([
  [0o04, high.directory],
  [0o12, high.symlink],
  [0o01, high.fifo],
  [0o14, high.socket],
  [0o02, high.device + high.character],
  [0o06, high.device],
]);

/** From a stat's `st_mode`. */
export function toGoMode(mode: number): number {
  return (
    (mode & 0o777) +
    (formats.get((mode >> 12) & 0o17) ?? 0) +
    (mode & 0o4000 ? high.setuid : 0) +
    (mode & 0o2000 ? high.setgid : 0) +
    (mode & 0o1000 ? high.sticky : 0)
  );
}
