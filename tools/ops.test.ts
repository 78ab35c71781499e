import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { generate } from "./ops.ts";

const root = join(import.meta.dir, "..");

test("the generated tables are what native/ops.json says, on both sides", () => {
  const files = generate(readFileSync(join(root, "native/ops.json"), "utf8"));
  expect([...files.keys()]).toEqual([
    "native/ops.gen.h",
    "src/monitor/ops.gen.ts",
    "src/runc/plan/ops.gen.ts",
  ]);
  for (const [path, content] of files) expect(readFileSync(join(root, path), "utf8")).toBe(content);
});

test("a number used twice and an unknown type are refused", () => {
  const table = JSON.parse(readFileSync(join(root, "native/ops.json"), "utf8"));
  table.operations[1].number = table.operations[0].number;
  expect(() => generate(JSON.stringify(table))).toThrow("used twice");
  table.operations[1].number = 999;
  table.operations[1].fields = [["x", "float"]];
  expect(() => generate(JSON.stringify(table))).toThrow("unknown type float");
});
