import { expect, test } from "bun:test";
import { parseKind, tooOld } from "./kind.ts";

test("runtimes are known by what they say of their version", () => {
  expect(parseKind("runc version 1.1.5+ds1\ncommit: 1.1.5\nspec: 1.0.2-dev\n")).toEqual({
    name: "runc",
    version: [1, 1, 5],
  });
  expect(parseKind("crun version 1.8.1\ncommit: x\n")).toEqual({ name: "crun", version: [1, 8, 1] });
  expect(parseKind("runsc version 0.0~20221219.0\nspec: 1.0.2\n").name).toBe("runsc");
  expect(parseKind("runsc version VERSION_MISSING\n")).toEqual({ name: "runsc", version: [] });
  expect(parseKind("youki version: 0.3.1\ncommit: x\n")).toEqual({ name: "youki", version: [0, 3, 1] });
  expect(parseKind("something else")).toEqual({ name: "", version: [] });
});

test("one that is too old is told of with what is needed", () => {
  expect(tooOld({ name: "runc", version: [0, 1, 1] })).toBe("runc 0.1.1 is too old: 1.0.0 is needed");
  expect(tooOld({ name: "runc", version: [1, 0, 0] })).toBeUndefined();
  expect(tooOld({ name: "crun", version: [0, 14, 1] })).toBe("crun 0.14.1 is too old: 0.15 is needed");
  expect(tooOld({ name: "runsc", version: [0, 0] })).toBeUndefined();
  expect(tooOld({ name: "runc", version: [] })).toBeUndefined();
});
