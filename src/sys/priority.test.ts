import { expect, test } from "bun:test";
import { join } from "node:path";

const script = `
  import { goFirst } from ${JSON.stringify(join(import.meta.dir, "priority.ts"))};
  import { readFileSync } from "node:fs";
  const niceOf = (text) => Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[16]);
  goFirst();
  const child = Bun.spawnSync(["cat", "/proc/self/stat"]).stdout.toString();
  console.log(niceOf(readFileSync("/proc/thread-self/stat", "utf8")), niceOf(child));
`;
const run = (...prefix: string[]) =>
  Bun.spawnSync([...prefix, process.execPath, "-e", script]).stdout.toString();

test.skipIf(process.getuid?.() !== 0)("a daemon goes first, and what it starts does not", () => {
  expect(run()).toBe("-10 0\n");
});

test("a nice value that was chosen is kept", () => {
  expect(run("nice", "-n", "3")).toBe("3 3\n");
});
