import { afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isLevel, machinePolicy, optionsOf, parsePolicy, SelinuxLabels, volumeLabel } from "./selinux.ts";

const policy = {
  process: "system_u:system_r:container_t:s0",
  file: "system_u:object_r:container_file_t:s0",
};
const numbers = (...list: number[]) => {
  let at = 0;
  return () => list[at++ % list.length]!;
};

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

test("a container's process and files have the policy's types and a level of their own", () => {
  const labels = new SelinuxLabels(policy, 1024, numbers(7, 900, 5, 5, 7, 900, 5, 900, 4, 3, 8, 9));
  expect(labels.make([])).toEqual({
    process: "system_u:system_r:container_t:s0:c7,c900",
    mount: "system_u:object_r:container_file_t:s0:c7,c900",
  });
  // A pair of one, and one that is taken, are not given.
  const second = labels.make([]).process;
  expect(second).toBe("system_u:system_r:container_t:s0:c5,c900");
  labels.reserve("u:r:t:s0:c3,c4");
  expect(labels.make([]).process).toEndWith(":s0:c8,c9");
});

test("options change what they name; the level and the user are the files' too", () => {
  const labels = new SelinuxLabels(policy);
  expect(labels.make(["type:spc_t", "level:s0:c1,c2", "user:u", "role:r", "filetype:f_t"])).toEqual({
    process: "u:r:spc_t:s0:c1,c2",
    mount: "u:object_r:f_t:s0:c1,c2",
  });
  expect(labels.make(["disable"])).toEqual({
    process: "",
    mount: "system_u:object_r:container_file_t:s0:c1022,c1023",
  });
  for (const wrong of ["x", "colour:red"])
    expect(() => labels.make([wrong])).toThrow(`bad label option ${JSON.stringify(wrong)}`);
});

test("two categories make one pair: then there are no more", () => {
  const labels = new SelinuxLabels(policy, 2);
  expect(labels.make([]).process).toEndWith(":s0:c0,c1");
  expect(() => labels.make([])).toThrow("no SELinux categories are left");
});

test("without SELinux there are no labels, and options are not looked at", () => {
  const labels = new SelinuxLabels(undefined);
  expect(labels.enabled).toBe(false);
  expect(labels.make(["type:x", "nonsense"])).toEqual({ process: "", mount: "" });
});

test("a policy without levels gives labels without", () => {
  const labels = new SelinuxLabels({ process: "u:r:t", file: "u:r:f" });
  expect(labels.make([])).toEqual({ process: "u:r:t", mount: "u:r:f" });
  expect(labels.make(["level:s0:c1,c2"]).process).toBe("u:r:t:s0:c1,c2");
  expect(optionsOf("u:r:t")).toEqual(["user:u", "role:r", "type:t"]);
});

test("a level is free again when nobody has it any more, whatever else the labels are", () => {
  const labels = new SelinuxLabels(policy, 2);
  const { process } = labels.make([]);
  labels.release(process, ["u:r:other_t:s0:c0,c1", undefined]);
  expect(() => labels.make([])).toThrow("no SELinux categories are left");
  labels.release(process, ["u:r:other_t:s0", undefined, ""]);
  expect(labels.make([]).process).toBe(process);
});

test("what the options of a volume say about its files", () => {
  const label = "u:r:t:s0:c1,c2";
  expect(volumeLabel("rw,Z", label)).toBe(label);
  expect(volumeLabel("z,ro", label)).toBe("u:r:t:s0");
  for (const mode of ["", "ro", "rslave"]) expect(volumeLabel(mode, label)).toBe("");
  expect(volumeLabel("z", "")).toBe("");
});

test("a label as the options that give it again", () => {
  expect(optionsOf("u:r:t:s0:c1,c2")).toEqual(["user:u", "role:r", "type:t", "level:s0:c1,c2"]);
  expect(optionsOf("")).toEqual([]);
});

test("levels", () => {
  for (const good of ["s0", "s0-s1", "s0:c1", "s0:c1,c1023", "s0:c1.c5,c9", "s0-s1:c0.c1023"])
    expect(isLevel(good)).toBe(true);
  for (const bad of ["", "c1", "s0:", "s0:c12345", "s0,c1", "s10"]) expect(isLevel(bad)).toBe(false);
});

test("the machine's policy is read where SELinux is on", () => {
  const root = mkdtempSync(join(tmpdir(), "corten-selinux-"));
  roots.push(root);
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  expect(machinePolicy(root)).toBeUndefined();
  write("etc/selinux/config", "# x\nSELINUX=enforcing\nSELINUXTYPE=targeted\n");
  write(
    "etc/selinux/targeted/contexts/lxc_contexts",
    `process = "${policy.process}"\ncontent = "x"\nfile = "${policy.file}"\nro_file="y"\n`,
  );
  expect(machinePolicy(root)).toBeUndefined();
  write("sys/fs/selinux/enforce", "1");
  expect(machinePolicy(root)).toEqual(policy);
  expect(parsePolicy("nothing")).toBeUndefined();
});
