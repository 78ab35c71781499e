import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const page = readFileSync(join(root, "docs/request-lifecycle.md"), "utf8").replace(/\s+/g, " ");

test("every file that the request lifecycle names is there", () => {
  const named = [...page.matchAll(/`((?:src|native|tools|docs)\/[\w./-]+\.\w+)`/g)].map((match) => match[1]!);
  expect(named.length).toBeGreaterThan(40);
  expect(named.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

test("every span with a fixed name is on the page of the request lifecycle", () => {
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  const names = new Set<string>();
  for (const file of files.filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))) {
    const source = readFileSync(join(root, "src", file), "utf8");
    for (const match of source.matchAll(/\bspan\(\s*"[a-z]+",\s*"([^"]+)"/g)) names.add(match[1]!);
  }
  expect(names.size).toBeGreaterThan(15);
  expect([...names].filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});
