/** Small archives from memory. */
import { padding, type TarEntry } from "./entry.ts";
import { endOfArchive, formatEntry } from "./writer.ts";

export type EntryLike = Partial<Omit<TarEntry, "xattrs">> & {
  path: string;
  data?: string | Uint8Array;
  xattrs?: Record<string, string>;
};

/** A tar archive of these entries; a file by default, owned by root, of 1 January 2020. */
export function tarOf(...entries: EntryLike[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const { data, xattrs, ...entry } of entries) {
    const bytes = typeof data === "string" ? Buffer.from(data) : (data ?? new Uint8Array(0));
    const type = entry.type ?? (entry.path.endsWith("/") ? "directory" : "file");
    parts.push(
      formatEntry({
        linkPath: "",
        mode: type === "directory" ? 0o755 : 0o644,
        uid: 0,
        gid: 0,
        mtimeNs: 1_577_836_800_000_000_000n,
        major: 0,
        minor: 0,
        size: bytes.length,
        ...entry,
        type,
        xattrs: Object.entries(xattrs ?? {}).map(([name, value]) => ({ name, value: Buffer.from(value) })),
      }),
      bytes,
      new Uint8Array(padding(bytes.length)),
    );
  }
  return Buffer.concat([...parts, endOfArchive]);
}
