import { expect, test } from "bun:test";
import { mountHolding } from "./mountinfo.ts";

test("the mount that holds a path is the deepest, and of equal ones the last", () => {
  const info =
    "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /a rw shared:1 - ext4 b rw\n3 1 8:3 / /a rw master:2 - ext4 c rw\n";
  expect(mountHolding("/a/b", info)).toEqual({ mountPoint: "/a", shared: false, slave: true });
  expect(mountHolding("/ab", info).mountPoint).toBe("/");
});
