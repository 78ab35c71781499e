import { expect, test } from "bun:test";
import { resolveUser } from "./accounts.ts";

const files = {
  passwd: "root:x:0:0::/root:/bin/sh\nalice:x:1000:1001::/:/bin/sh\n5:x:77:77::/:/bin/sh\n",
  group: "root:x:0:\nwheel:x:10:root,alice\nusers:x:1001:\n",
};

test("a name brings its groups", () => {
  expect(resolveUser("alice", files)).toEqual({ uid: 1000, gid: 1001, additionalGids: [1001, 10] });
});

test("nobody asked for is root as the files know it", () => {
  expect(resolveUser("", files)).toEqual({ uid: 0, gid: 0, additionalGids: [0, 10] });
});

test("a number is an id, known or not", () => {
  expect(resolveUser("1000", files).gid).toBe(1001);
  expect(resolveUser("4242:10", files)).toEqual({ uid: 4242, gid: 10, additionalGids: [10] });
  expect(resolveUser("5", files).uid).toBe(5);
});

test("a named group replaces the user's own", () => {
  expect(resolveUser("alice:wheel", files)).toEqual({ uid: 1000, gid: 10, additionalGids: [10] });
});

test("unknown names are said so, and ids have a range", () => {
  expect(() => resolveUser("bob", files)).toThrow(
    "unable to find user bob: no matching entries in passwd file",
  );
  expect(() => resolveUser("alice:nosuch", files)).toThrow("unable to find group nosuch");
  expect(() => resolveUser("3000000000", files)).toThrow("must be in range");
  expect(() => resolveUser("alice", files, ["nosuch"])).toThrow("Unable to find group nosuch");
});

test("a container without the files knows numbers only", () => {
  expect(resolveUser("7:8", { passwd: "", group: "" })).toEqual({ uid: 7, gid: 8, additionalGids: [8] });
});
