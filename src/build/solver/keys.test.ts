import { expect, test } from "bun:test";
import type { Operation, RunOperation } from "../graph.ts";
import { digestOf, vertex } from "../graph.ts";
import { freshKey, inputKey, isPinned, keyOnlyInput } from "./keys.ts";

const platform = { os: "linux", architecture: "amd64" };
const of = (operation: Operation, ...inputs: ReturnType<typeof vertex>[]) =>
  vertex(operation, inputs, { name: operation.kind, platform });
const image = of({ kind: "image", reference: "x", manifest: digestOf("x"), platform });
const local = of({ kind: "local", name: "context", exclude: [] });
const run = (change: Partial<RunOperation> = {}): RunOperation => ({
  kind: "run",
  base: 0,
  args: ["true"],
  env: [],
  cwd: "/",
  user: "",
  mounts: [],
  network: "default",
  security: "sandbox",
  extraHosts: [],
  ...change,
});
const commit = "0123456789012345678901234567890123456789";
const git = { kind: "git", url: "https://host/x", keepGitDir: false } as const;

test("a definition decides the result unless a directory, a branch or an unchecked URL is below it", () => {
  expect(isPinned(of(run(), image))).toBe(true);
  expect(isPinned(of(run(), of(run(), local)))).toBe(false);
  expect(isPinned(of(git))).toBe(false);
  expect(isPinned(of({ ...git, ref: "main" }))).toBe(false);
  expect(isPinned(of({ ...git, ref: commit }))).toBe(true);
  expect(isPinned(of({ ...git, ref: "main", checksum: commit }))).toBe(true);
  expect(isPinned(of({ kind: "http", url: "https://host/x", filename: "x" }))).toBe(false);
  expect(isPinned(of({ kind: "http", url: "https://host/x", filename: "x", checksum: digestOf("x") }))).toBe(
    true,
  );
});

test("a key follows the operation and the inputs, but not what only changes the way there", () => {
  const key = (operation: RunOperation) => inputKey(of(operation, image), [digestOf("input")]);
  expect(key(run())).toBe(key(run({ proxyEnv: ["HTTP_PROXY=x"], resources: { memory: 1 } })));
  expect(key(run())).not.toBe(key(run({ env: ["A=b"] })));
  expect(key(run())).not.toBe(inputKey(of(run(), image), [digestOf("other input")]));
  expect(freshKey(key(run()))).not.toBe(freshKey(key(run())));
});

test("a base counts by its key alone, unless something is taken of it as well", () => {
  expect(keyOnlyInput(of(run(), image))).toBe(0);
  expect(
    keyOnlyInput(
      of(
        run({ mounts: [{ type: "bind", input: 1, source: "/", target: "/x", readonly: true }] }),
        image,
        local,
      ),
    ),
  ).toBe(0);
  expect(
    keyOnlyInput(
      of(run({ mounts: [{ type: "bind", input: 0, source: "/", target: "/x", readonly: true }] }), image),
    ),
  ).toBeUndefined();
  const copy = (input: number): Operation => ({
    kind: "files",
    base: 0,
    actions: [{ action: "copy", input, sources: ["/a"], destination: "/b" }],
  });
  expect(keyOnlyInput(of(copy(1), image, local))).toBe(0);
  expect(keyOnlyInput(of(copy(0), image))).toBeUndefined();
});
