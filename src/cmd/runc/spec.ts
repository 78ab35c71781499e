import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { alreadyExists } from "../../base/errors.ts";
import { defaultSpec, rootlessSpec } from "../../oci/default-spec.ts";
import { cgroupLayout } from "../../sys/cgroup/index.ts";
import { type Context, expectArgs } from "./context.ts";
import { parseFlags } from "./flags.ts";

export async function specVerb(_context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, [
    ["bundle", "b", "string"],
    ["rootless", "", "bool"],
  ]);
  expectArgs(flags, "spec", 0);
  const path = join(flags.string("bundle") || ".", "config.json");
  if (existsSync(path)) throw alreadyExists("File config.json exists. Remove it first");
  const spec = flags.bool("rootless")
    ? rootlessSpec(process.geteuid?.() ?? 0, process.getegid?.() ?? 0)
    : defaultSpec();
  // On a unified hierarchy containers see their own group as the root, as with runc.
  if (cgroupLayout().mode === "v2") spec.linux?.namespaces?.push({ type: "cgroup" });
  writeFileSync(path, JSON.stringify(spec, null, "\t"), { mode: 0o666 });
  return 0;
}
