import { execFileSync } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import { listXattrsAt } from "../../src/sys/xattr.ts";

/** All that can be seen of a tree but the root's own time: one line per entry, with which names are one file. */
export function describeTree(dir: string): string[] {
  const firstName = new Map<string, string>();
  return execFileSync("find", [".", "-printf", "%P\\t%i\\t%y %m %U %G %s %T@ %l\\n"], {
    cwd: dir,
    encoding: "latin1",
  })
    .split("\n")
    .filter((line) => line !== "")
    .sort()
    .map((line) => {
      const [path, inode, rest] = line.split("\t") as [string, string, string];
      const isDirectory = rest.startsWith("d");
      if (!isDirectory && !firstName.has(inode)) firstName.set(inode, path);
      const fd = openSync(dir, "r");
      const xattrs = listXattrsAt(fd, path || ".")
        .filter(({ name }) => !name.startsWith("trusted.overlay."))
        .map(({ name, value }) => `${name}=${Buffer.from(value).toString("hex")}`);
      closeSync(fd);
      const content = rest.startsWith("f")
        ? digestOf(readFileSync(Buffer.from(join(dir, path), "latin1"))).slice(7, 19)
        : "";
      // Sizes of directories are the file system's business.
      const shown = isDirectory ? rest.replace(/^(d \S+ \S+ \S+) \S+/, "$1") : rest;
      const timeless = path === "" ? shown.replace(/ [\d.]+ *$/, "") : shown;
      return `${path} ${timeless} ${isDirectory ? "" : firstName.get(inode)} ${xattrs.join(",")} ${content}`;
    });
}
