import { expect, test } from "bun:test";
import { checkPropagation, refuseDaemonRoot } from "./propagation.ts";

const mountinfo = `22 1 0:20 / / rw - ext4 /dev/a rw
23 22 0:21 / /shared rw shared:5 - tmpfs t rw
24 22 0:22 / /slave rw master:5 - tmpfs t rw
25 23 0:23 / /shared/in\\040side rw - tmpfs t rw
`;
const check = (source: string, propagation: string, type: "bind" | "volume" = "bind") =>
  checkPropagation([{ type, source, propagation }], "/var/lib/corten", () => mountinfo);

test("a shared bind wants a shared mount, a slave one either", () => {
  check("/shared/a", "rshared");
  check("/shared", "slave");
  check("/slave/x", "rslave");
  check("/tmp", "rprivate");
  check("/tmp", "");
  check("/tmp", "rslave", "volume");
  expect(() => check("/slave/x", "shared")).toThrow(
    "path /slave/x is mounted on /slave but it is not a shared mount",
  );
  expect(() => check("/tmp", "rslave")).toThrow(
    "path /tmp is mounted on / but it is not a shared or slave mount",
  );
  expect(() => check("/shared/in side/x", "slave")).toThrow("mounted on /shared/in side but");
});

test("what holds the daemon's root, or is in it, may be a slave of what propagates nothing", () => {
  check("/", "rslave");
  check("/var/lib/corten/volumes", "slave");
  expect(() => check("/", "rshared")).toThrow("not a shared mount");
});

test("the daemon's root is not bound privately on purpose", () => {
  const plan = { type: "bind" as const, source: "/var", mode: "", propagation: "rprivate" };
  refuseDaemonRoot([plan, { ...plan, mode: "rslave", propagation: "rslave" }], "/var/lib/corten");
  refuseDaemonRoot([{ ...plan, source: "/srv", mode: "private", propagation: "private" }], "/var/lib/corten");
  expect(() =>
    refuseDaemonRoot([{ ...plan, mode: "ro,private", propagation: "private" }], "/var/lib/corten"),
  ).toThrow('must use either propagation mode "rslave" or "rshared"');
});
