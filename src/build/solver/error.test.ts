import { expect, test } from "bun:test";
import { CortenError } from "../../base/errors.ts";
import { vertex } from "../graph.ts";
import { SolveError } from "./error.ts";

const source = { filename: "sub/Dockerfile", text: "line 1\nline 2\nline 3" };
const range = (line: number) => ({ start: { line, character: 0 }, end: { line, character: 0 } });

test("an error of a step keeps its code, and its cause for who wants to know more", () => {
  const platform = { os: "linux", architecture: "amd64" };
  const step = vertex({ kind: "merge" }, [], { name: "step", platform, ranges: [range(2)] });
  const cause = new CortenError("resource_exhausted", "no space left");
  const error = new SolveError(cause, step, source);
  expect(error).toMatchObject({
    code: "resource_exhausted",
    message: "failed to solve: no space left",
    cause,
  });
  expect(error.vertex).toBe(step);
  expect(error.filename).toBe("sub/Dockerfile");
  expect(error.excerpt).toContain(">>> line 2");
  expect(new SolveError(cause, step).excerpt).toBeUndefined();
  expect(new SolveError(cause).vertex).toBeUndefined();
});
