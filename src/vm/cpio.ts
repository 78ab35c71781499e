/** A cpio archive in the format "newc" (kernel: Documentation/driver-api/early-userspace/buffer-format.rst). */

export interface CpioEntry {
  path: string;
  /** Type and permissions, as in stat(2). */
  mode: number;
  content?: Uint8Array;
}

const encoder = new TextEncoder();
const padded = (size: number) => (size + 3) & ~3;

export function cpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const add = (number: number, { path, mode, content = new Uint8Array() }: CpioEntry): void => {
    const name = encoder.encode(`${path}\0`);
    const links = path === "TRAILER!!!" || (mode & 0o170000) !== 0o040000 ? 1 : 2;
    const fields = [number, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0];
    const header = encoder.encode(
      `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`,
    );
    const head = new Uint8Array(padded(header.length + name.length));
    head.set(header);
    head.set(name, header.length);
    const body = new Uint8Array(padded(content.length));
    body.set(content);
    parts.push(head, body);
  };
  for (const [index, entry] of entries.entries()) add(index + 1, entry);
  add(0, { path: "TRAILER!!!", mode: 0 });
  return Buffer.concat(parts);
}
