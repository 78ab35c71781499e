import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const root = join(import.meta.dir, "../..");
const pattern =
  /(?:^|\n)\s*(?:import|export)\s+(?!type\b)[^;]*?from\s*"(\.[^"]+)"|import\(\s*"(\.[^"]+)"\s*\)/g;

/** The files a program loads, now or later; what is imported for its types alone is not among them. */
function reachable(entry: string): Set<string> {
  const seen = new Set<string>();
  const waiting = [entry];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (seen.has(file) || !existsSync(join(root, file)) || !file.endsWith(".ts")) continue;
    seen.add(file);
    for (const match of readFileSync(join(root, file), "utf8").matchAll(pattern))
      waiting.push(normalize(join(dirname(file), match[1] ?? match[2]!)));
  }
  return seen;
}

test("crio loads nothing of containerd and of Docker", () => {
  const files = [...reachable("src/cmd/crio.ts")];
  expect(files).toContain("src/cri/sandbox/run.ts");
  expect(files).toContain("src/crio/engine.ts");
  expect(
    files.filter((file) => /^src\/(containerd|cri\/containerd|dockerd|dockershim|engine)\//.test(file)),
  ).toEqual([]);
  // The look sees containerd where it is.
  expect([...reachable("src/cmd/cri.ts")].some((file) => file.startsWith("src/containerd/"))).toBe(true);
});
