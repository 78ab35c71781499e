/** What an archive says of one file. Paths are byte strings (latin1): names in archives need not be UTF-8. */
export interface TarEntry {
  path: string;
  /** Target of a link or symlink, "" otherwise. */
  linkPath: string;
  type: TarEntryType;
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of data that follow; 0 for everything but files. */
  size: number;
  mtimeNs: bigint;
  atimeNs?: bigint;
  major: number;
  minor: number;
  xattrs: ReadonlyArray<{ name: string; value: Uint8Array }>;
}

export type TarEntryType = "file" | "link" | "symlink" | "char" | "block" | "directory" | "fifo";

export const blockSize = 512;

/** Bytes that fill `size` up to whole blocks. */
export const padding = (size: number): number => (blockSize - (size % blockSize)) % blockSize;
