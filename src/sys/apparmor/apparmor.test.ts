import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { AppArmor } from "./machine.ts";
import { allBut, defaultProfile } from "./profile.ts";

describe("the default profile", () => {
  const none = { own: "unconfined", includes: () => false };

  test("is closed and has its name in quotes, also as the peer of its own processes", () => {
    const text = defaultProfile("docker-default", none);
    expect(text).toStartWith(
      '@{PROC}=/proc/\nprofile "docker-default" flags=(attach_disconnected, mediate_deleted) {\n',
    );
    expect(text).toEndWith("}\n");
    expect(text).toContain('  signal (send, receive) peer="docker-default",\n');
    expect(text).not.toContain("include");
  });

  test("includes what the machine has", () => {
    const text = defaultProfile("x", { own: "unconfined", includes: () => true });
    expect(text).toStartWith("abi <abi/3.0>,\ninclude <tunables/global>\n");
    expect(text).toContain("include <abstractions/base>");
  });

  test("lets whoever loads it send signals, once", () => {
    const receive = (own: string) =>
      [...defaultProfile("x", { ...none, own }).matchAll(/signal \(receive\) peer=(.*),/g)].map(
        ([, peer]) => peer,
      );
    expect(receive("unconfined")).toEqual(['"unconfined"', '"runc"', '"crun"']);
    expect(receive("/usr/bin/my engine")).toEqual([
      '"unconfined"',
      '"runc"',
      '"crun"',
      '"/usr/bin/my engine"',
    ]);
    expect(receive('bad"name')).toEqual(['"unconfined"', '"runc"', '"crun"', '"unconfined"']);
  });

  test("what is not one path is told letter by letter", () => {
    expect(allBut("/sys/", "fs")).toEqual(["/sys/[^f]**", "/sys/f[^s]**"]);
  });
});

describe("a machine", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "corten-apparmor-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const put = (path: string, text: string, mode = 0o644) => {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
    chmodSync(join(root, path), mode);
  };
  const kernel = "sys/kernel/security/apparmor/profiles";
  const on = () => {
    put("sys/module/apparmor/parameters/enabled", "Y\n");
    put(kernel, "docker-default-not (enforce)\nmy own (complain)\n");
  };
  /** A parser that writes down what it gets, and adds a profile to the kernel's list. */
  const parser = (end = "exit 0") =>
    put(
      "sbin/apparmor_parser",
      `#!/bin/sh\necho "$@" >>${root}/calls\ncat >${root}/given\necho "docker-default (enforce)" >>${join(root, kernel)}\n${end}\n`,
      0o755,
    );
  const calls = () => readFileSync(join(root, "calls"), "utf8").trim().split("\n").length;

  test("without AppArmor has nothing", () => {
    const machine = new AppArmor(root, {});
    expect([machine.enabled, machine.supported, machine.visible]).toEqual([false, false, false]);
  });

  test("with it off has nothing either", () => {
    put("sys/module/apparmor/parameters/enabled", "N\n");
    parser();
    const machine = new AppArmor(root, {});
    expect([machine.enabled, machine.supported, machine.visible]).toEqual([false, false, false]);
  });

  test("without the parser has profiles, but none for containers", () => {
    on();
    const machine = new AppArmor(root, {});
    expect([machine.enabled, machine.supported, machine.visible]).toEqual([true, false, true]);
  });

  test("that is a container loads no profiles", () => {
    on();
    parser();
    expect(new AppArmor(root, { container: "lxc" }).supported).toBe(false);
    expect(new AppArmor(root, {}).supported).toBe(true);
  });

  test("knows its profiles by their whole names", () => {
    on();
    const machine = new AppArmor(root, {});
    expect(
      ["docker-default", "docker-default-not", "my own", "my"].map((name) => machine.loaded(name)),
    ).toEqual([false, true, true, false]);
  });

  test("is given a profile once by all who need it, and not again", async () => {
    on();
    parser();
    put("proc/self/attr/current", "engine (enforce)\n");
    const machine = new AppArmor(root, {});
    await Promise.all([machine.ensure("docker-default"), machine.ensure("docker-default")]);
    await machine.ensure("docker-default");
    expect(calls()).toBe(1);
    expect(readFileSync(join(root, "calls"), "utf8")).toBe("-Kr\n");
    expect(readFileSync(join(root, "given"), "utf8")).toBe(machine.text("docker-default"));
    expect(machine.text("docker-default")).toContain('peer="engine",');
    await machine.load("docker-default");
    expect(calls()).toBe(2);
  });

  test("whose parser fails says what it said", async () => {
    on();
    parser("echo 'syntax error' >&2; exit 3");
    const error = await new AppArmor(root, {}).load("docker-default").catch((reason: Error) => reason);
    expect((error as Error).message).toBe(
      `running '${root}/sbin/apparmor_parser -Kr' failed with output: syntax error\nerror: exit status 3`,
    );
    expect(existsSync(join(root, "given"))).toBe(true);
  });
});
