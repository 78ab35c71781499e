/** A machine without SELinux: labels are refused, or not looked at, as the real programs have it. */
import { expect } from "bun:test";
import { existsSync } from "node:fs";
import type { Spec } from "../../src/oci/runtime-spec.ts";
import { makeBundle } from "../helpers/bundle.ts";
import { corten, startEngine } from "../helpers/engine.ts";
import { startTestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const test = existsSync("/sys/fs/selinux/enforce") ? requires("a machine without SELinux") : requires("runc");
const label = "system_u:system_r:container_t:s0:c1,c2";

/** What each of the two runtimes says to a configuration. */
async function outcomes(change: (spec: Spec) => void) {
  const results = [];
  for (const command of [[...corten, "runc"], ["runc"]]) {
    await using bundle = makeBundle(command);
    bundle.configure(["true"], change);
    results.push(await bundle.runc("run", bundle.id));
  }
  return results;
}

test("runc refuses a process label in the real one's words", async () => {
  for (const { code, stderr } of await outcomes((spec) => {
    spec.process!.selinuxLabel = label;
  })) {
    expect(code).toBe(1);
    expect(stderr).toContain(
      "selinux label is specified in config, but selinux is disabled or not supported",
    );
  }
});

test("a mount label is the kernel's to refuse, under both", async () => {
  for (const { code, stderr } of await outcomes((spec) => {
    spec.linux!.mountLabel = label;
  })) {
    expect(code).toBe(1);
    expect(stderr).toMatch(/tmpfs.*invalid argument/);
  }
});

test("dockerd says that it has no SELinux, and containers have no labels, whatever is asked", async () => {
  await using registry = await startTestRegistry();
  await using engine = await startEngine(["--selinux-enabled", "--bridge=none"]);
  expect(engine.log()).toContain("Docker could not enable SELinux on the host system");
  const asked = ["--security-opt", "label=type:x_t", "--security-opt", "label=colour:red"];
  const ran = await engine.corten(
    "run",
    "--name",
    "labelled",
    "--network",
    "none",
    ...asked,
    registry.busybox,
    "true",
  );
  expect([ran.code, ran.code === 0 ? "" : ran.stderr]).toEqual([0, ""]);
  const shown = await engine.corten("inspect", "-f", "{{.ProcessLabel}}|{{.MountLabel}}", "labelled");
  expect(shown.stdout).toBe("|\n");
});
