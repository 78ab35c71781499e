import { afterEach, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkRelabel, type LabelAccess, relabel } from "./relabel.ts";

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

function temporary(): string {
  const root = mkdtempSync(join(tmpdir(), "corten-relabel-"));
  roots.push(root);
  return root;
}

/** Notes labels by path, as the kernel would. */
function notes(before: Record<string, string> = {}, refuse: (path: string) => number = () => 0) {
  const labels = new Map(Object.entries(before));
  const order: string[] = [];
  const at = (directory: number, name: string) => join(readlinkSync(`/proc/self/fd/${directory}`), name);
  const access: LabelAccess = {
    get: (directory, name) => labels.get(at(directory, name)),
    set(directory, name, label) {
      const path = at(directory, name);
      const result = refuse(path);
      if (result !== 0) return result;
      order.push(path);
      labels.set(path, label);
      return 0;
    },
  };
  return { access, order };
}

test("directories of the system and homes are refused, what is in them is not", async () => {
  for (const path of ["/", "/etc", "/etc/", "/usr", "/var/lib", "/etc/shadow", "/tmp", "/home"])
    expect(() => checkRelabel(path)).toThrow("SELinux relabeling of");
  expect(() => checkRelabel("/h/me", { HOME: "/h/me" })).toThrow(
    "SELinux relabeling of /h/me is not allowed",
  );
  expect(() => checkRelabel("/bin/", { SUDO_USER: "daemon" })).toThrow("of /bin is not allowed");
  expect(() => checkRelabel("/usr/sbin", { SUDO_USER: "daemon" })).toThrow("of /usr/sbin is not allowed");
  for (const path of ["/var/lib/x", "/usr/share", "/home/me", "/etc/pki/tls"]) checkRelabel(path, {});
  const error = await relabel("/usr/", "u:r:t:s0").catch((reason: Error) => reason.message);
  expect(error).toBe("SELinux relabeling of /usr is not allowed");
});

test("all of a tree gets the label, the top last, and no link is followed", async () => {
  const root = temporary();
  const outside = temporary();
  writeFileSync(join(outside, "secret"), "");
  mkdirSync(join(root, "a/b"), { recursive: true });
  writeFileSync(join(root, "a/b/f"), "");
  symlinkSync(outside, join(root, "a/link"));
  const { access, order } = notes();
  await relabel(`${root}/`, "u:r:t:s0", access);
  expect(order.toSorted()).toEqual(["", "/a", "/a/b", "/a/b/f", "/a/link"].map((path) => root + path));
  expect(order.at(-1)).toBe(root);
  expect(order.indexOf(`${root}/a/b/f`)).toBeLessThan(order.indexOf(`${root}/a/b`));
});

test("a directory that becomes a link meanwhile leads nowhere", async () => {
  const root = temporary();
  const outside = temporary();
  mkdirSync(join(outside, "below"));
  for (const name of ["a", "b", "c"]) mkdirSync(join(root, name));
  const seen: string[] = [];
  const { access, order } = notes({}, (path) => {
    // When the first one is done, the others change what they are.
    if (seen.length === 0)
      for (const name of readdirSync(root).filter((name) => join(root, name) !== path)) {
        renameSync(join(root, name), join(outside, name));
        symlinkSync(outside, join(root, name));
      }
    seen.push(path);
    return 0;
  });
  await relabel(root, "u:r:t:s0", access);
  expect(order.every((path) => path === root || path.startsWith(`${root}/`))).toBe(true);
  expect(order).toHaveLength(4);
});

test("where the top has the label already, only what differs is written", async () => {
  const root = temporary();
  writeFileSync(join(root, "same"), "");
  writeFileSync(join(root, "new"), "");
  const { access, order } = notes({ [root]: "u:r:t:s0", [join(root, "same")]: "u:r:t:s0" });
  await relabel(root, "u:r:t:s0", access);
  expect(order).toEqual([join(root, "new")]);
});

test("a file system without labels and what went away are no errors, others are", async () => {
  const root = temporary();
  writeFileSync(join(root, "file"), "");
  await relabel(root, "u:r:t:s0", notes({}, () => -95).access);
  await relabel(root, "u:r:t:s0", notes({}, () => -2).access);
  await relabel(join(root, "absent"), "u:r:t:s0", notes().access);
  await relabel("/usr", "");
  const error = await relabel(root, "u:r:t:s0", notes({}, () => -30).access).catch(
    (reason: Error) => reason.message,
  );
  expect(error).toContain('security.selinux of "file": read-only file system');
});

test("a file alone", async () => {
  const root = temporary();
  const file = join(root, "tête");
  writeFileSync(file, "");
  const labels: string[] = [];
  await relabel(file, "u:r:t:s0", {
    get: () => undefined,
    set: (directory, name, label) => {
      labels.push(`${readlinkSync(`/proc/self/fd/${directory}`)} ${Buffer.from(name, "latin1")} ${label}`);
      return 0;
    },
  });
  expect(labels).toEqual([`${root} tête u:r:t:s0`]);
});
