import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Spec } from "../../oci/runtime-spec.ts";
import { injectHooks, matches } from "./match.ts";
import { parseHook, readHooks } from "./read.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "corten-crio-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const hook = (change: object = {}) =>
  JSON.stringify({
    version: "1.0.0",
    hook: { path: "/bin/sh", args: ["sh", "-c", "true"], env: ["A=1"], timeout: 3 },
    when: { always: true },
    stages: ["createRuntime", "poststop"],
    ...change,
  });
const subject = { annotations: { "team/name": "blue" }, command: "/usr/bin/java", hasBindMounts: false };
const when = (conditions: object) => parseHook(hook({ when: conditions }), "h").when;

describe("hooks.d", () => {
  test("all conditions must hold: every annotation, any of the commands, bind mounts", () => {
    expect(matches(when({ always: true }), subject)).toBe(true);
    expect(matches(when({ always: false }), subject)).toBe(false);
    expect(matches(when({ annotations: { "^team/": "^bl" } }), subject)).toBe(true);
    expect(matches(when({ annotations: { "^team/": "^bl", other: ".*" } }), subject)).toBe(false);
    expect(matches(when({ annotations: { "^team/": "red" } }), subject)).toBe(false);
    expect(matches(when({ commands: ["python$", "java$"] }), subject)).toBe(true);
    expect(matches(when({ commands: ["^java$"] }), subject)).toBe(false);
    expect(matches(when({ hasBindMounts: true }), subject)).toBe(false);
    expect(
      matches(when({ hasBindMounts: true, commands: ["java"] }), { ...subject, hasBindMounts: true }),
    ).toBe(true);
  });

  test("a hook goes to each of its stages, after those of the spec", () => {
    const spec: Spec = { ociVersion: "1.0.2", hooks: { poststop: [{ path: "/first" }] } };
    injectHooks(spec, [parseHook(hook(), "h")], subject);
    expect(spec.hooks!.createRuntime).toEqual([
      { path: "/bin/sh", args: ["sh", "-c", "true"], env: ["A=1"], timeout: 3 },
    ]);
    expect(spec.hooks!.poststop!.map(({ path }) => path)).toEqual(["/first", "/bin/sh"]);
  });

  test("a later directory's file replaces one of the same name, and a bad one does not stop the others", () => {
    for (const name of ["one", "two"]) mkdirSync(join(dir, name));
    writeFileSync(join(dir, "one/10-a.json"), hook());
    writeFileSync(join(dir, "one/20-b.json"), "{");
    writeFileSync(join(dir, "one/README"), "no hook");
    writeFileSync(join(dir, "two/10-a.json"), hook({ stages: ["poststart"] }));
    writeFileSync(join(dir, "two/05-z.json"), hook({ stages: ["prestart"] }));
    const bad: string[] = [];
    const hooks = readHooks([join(dir, "one"), join(dir, "two"), join(dir, "none")], (file) =>
      bad.push(file),
    );
    expect(hooks.map(({ stages }) => stages)).toEqual([["prestart"], ["poststart"]]);
    expect(bad).toEqual([join(dir, "one/20-b.json")]);
  });

  test.each([
    [{ version: "2.0.0" }, /version "2\.0\.0"/],
    [{ hook: { path: "sh" } }, /not absolute/],
    [{ hook: { path: "/no/such/hook" } }, /no such file/],
    [{ hook: { path: "/bin/sh", timeout: 0 } }, /timeout/],
    [{ when: {} }, /no condition/],
    [{ when: { commands: ["("] } }, /regular expression/],
    [{ stages: ["never"] }, /unknown stage "never"/],
    [{ stages: [] }, /no stages/],
  ])("%p is refused", (change, message) => {
    expect(() => parseHook(hook(change), "h")).toThrow(message);
  });
});
