import { expect, test } from "bun:test";
import { resolveUser } from "./user.ts";

const accounts = {
  passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/:/bin/false\n",
  group: "root:x:0:\nweb:x:33:\nstaff:x:50:web,other\n",
};

test("no user is root, a name and a number find their entry, groups come along", () => {
  expect(resolveUser("", accounts)).toEqual({ uid: 0, gid: 0 });
  expect(resolveUser("web", accounts)).toEqual({ uid: 33, gid: 33, additionalGids: [50] });
  expect(resolveUser("33", accounts)).toEqual({ uid: 33, gid: 33, additionalGids: [50] });
  expect(resolveUser("1234", accounts)).toEqual({ uid: 1234, gid: 0 });
  expect(resolveUser("web:staff", accounts).gid).toBe(50);
  expect(resolveUser("7:8", accounts)).toEqual({ uid: 7, gid: 8 });
});

test("without account files numbers still work, and unknown names are refused", () => {
  const none = { passwd: "", group: "" };
  expect(resolveUser("", none)).toEqual({ uid: 0, gid: 0 });
  expect(resolveUser("5:6", none)).toEqual({ uid: 5, gid: 6 });
  expect(() => resolveUser("ghost", none)).toThrow("no users found: ghost");
  expect(() => resolveUser("0:ghosts", none)).toThrow("no groups found: ghosts");
});
