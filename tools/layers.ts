/** Fails when a file imports a folder that its own folder may not know. Run by `make check`. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

/** folder → folders it may import (its own is always allowed). The order is bottom to top. */
export const table: Record<string, readonly string[]> = {
  base: [],
  oci: [],
  proto: [],
  sys: ["base"],
  archive: ["sys", "base"],
  monitor: ["sys", "base"],
  runc: ["sys", "monitor", "oci", "proto", "base"],
  vm: ["runc", "monitor", "sys", "oci", "base"],
  shim: ["vm", "runc", "monitor", "sys", "oci", "proto", "base"],
  http: ["base"],
  registry: ["oci", "base"],
  deb: ["oci", "base"],
  store: ["archive", "sys", "oci", "base"],
  network: ["sys", "base"],
  containerd: ["store", "archive", "registry", "deb", "shim", "sys", "oci", "proto", "base"],
  engine: ["base"],
  build: ["containerd/client", "archive", "sys", "oci", "proto", "base"],
  cri: [
    "containerd/client",
    "archive/copy-tree",
    "archive/tar",
    "network",
    "monitor",
    "http",
    "sys",
    "oci",
    "proto",
    "base",
  ],
  crio: [
    "cri/config",
    "cri/container",
    "cri/context",
    "cri/engine",
    "cri/images/credentials",
    "cri/images/message",
    "cri/pods",
    "cri/records",
    "cri/sandbox",
    "cri/service",
    "cri/spec",
    "store",
    "shim",
    "network",
    "registry",
    "monitor",
    "runc",
    "archive",
    "http",
    "sys",
    "oci",
    "proto",
    "base",
  ],
  dockerd: [
    "containerd/client",
    "archive",
    "build",
    "network",
    "monitor",
    "engine",
    "http",
    "oci",
    "proto",
    "base",
  ],
  dockershim: [
    "cri/service",
    "cri/streaming",
    "cri/cni",
    "cri/sandbox",
    "cri/spec",
    "cri/stats",
    "cri/images/credentials",
    "cri/events",
    "archive",
    "engine",
    "http",
    "sys",
    "oci",
    "proto",
    "base",
  ],
  cli: ["engine", "build/dockerfile", "oci", "base"],
  crictl: ["cli/flags", "cli/format", "cli/template", "cli/streams/detach", "cri/streaming", "proto", "base"],
};
const everything = new Set(["cmd", "main.ts"]);

const root = normalize(join(import.meta.dir, ".."));
const importPattern = /(?:from|import)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g;

/** "containerd" for src/containerd/…, "proto" for proto/…, "main.ts" for a file directly in src. */
function folderOf(path: string): string {
  const parts = path.split("/");
  return parts[0] === "src" ? parts[1]! : parts[0]!;
}

export function violations(path: string, source: string): string[] {
  const from = folderOf(path);
  if (everything.has(from)) return [];
  const allowed = table[from];
  if (!allowed) return [`${path}: folder ${from} is not in the layer table (tools/layers.ts)`];
  const found: string[] = [];
  for (const match of source.matchAll(importPattern)) {
    const target = normalize(join(dirname(path), match[1]!));
    if (target.startsWith("package.json")) continue;
    // What was built is embedded, not imported.
    if (target.startsWith("dist/")) continue;
    const to = folderOf(target);
    // Helpers of tests are for tests, wherever those are.
    if (to === "test" && path.endsWith(".test.ts")) continue;
    const inside = target.replace(/^src\//, "");
    if (
      to === from ||
      allowed.some((entry) => entry === to || inside.startsWith(`${entry}/`) || inside === `${entry}.ts`)
    )
      continue;
    found.push(
      `${path}: ${from} must not import ${to} (${match[1]}); it may import ${allowed.join(", ") || "nothing"}`,
    );
  }
  return found;
}

if (import.meta.main) {
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter((f) =>
    f.endsWith(".ts"),
  );
  const problems = files.flatMap((file) =>
    violations(relative(root, join(root, "src", file)), readFileSync(join(root, "src", file), "utf8")),
  );
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exit(1);
  console.log(`layers: ${files.length} files, no import goes up`);
}
