import { expect, test } from "bun:test";
import { MS_BIND, MS_NODEV, MS_PRIVATE, MS_RDONLY, MS_REC, parseMountOptions } from "./mount-options.ts";
import { parseMountInfo } from "./mountinfo.ts";

test("mount options are sorted into flags, propagation and data", () => {
  expect(parseMountOptions(["rbind", "ro", "nodev", "rprivate", "size=5m", "x-gvfs-hide"])).toEqual({
    flags: MS_BIND | MS_REC | MS_RDONLY | MS_NODEV,
    propagation: [MS_PRIVATE | MS_REC],
    data: ["size=5m"],
  });
});

test("a later option takes back an earlier one", () => {
  expect(parseMountOptions(["ro", "nodev", "rw"]).flags).toBe(MS_NODEV);
});

test("mountinfo is parsed with optional fields and escaped characters", () => {
  const text =
    "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue\nbroken\n";
  expect(parseMountInfo(text)).toEqual([
    {
      id: 36,
      parent: 35,
      device: "98:0",
      root: "/mnt1",
      mountPoint: "/mnt 2",
      options: ["rw", "noatime"],
      propagation: ["shared:1", "master:2"],
      fsType: "ext3",
      source: "/dev/root",
      superOptions: ["rw", "errors=continue"],
    },
  ]);
});
