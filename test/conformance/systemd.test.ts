/** systemd's cgroup driver against a real systemd, which is the first process of a namespace of the test's own. */
import { describe, expect } from "bun:test";
import { join } from "node:path";
import { makeBundle } from "../helpers/bundle.ts";
import { corten } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";
import { type SystemdLayout, systemdProgram, underSystemd } from "../helpers/under-systemd.ts";
import { scenarios } from "./systemd.scenarios.ts";

const script = join(import.meta.dir, "systemd.scenarios.ts");
const needed = requires(systemdProgram, "systemctl", "runc", "unshare");

const layouts: Record<SystemdLayout, string[]> = {
  hybrid: Object.keys(scenarios),
  // Without controllers: the kernel has given them all to v1.
  unified: Object.keys(scenarios).slice(0, 3),
};

for (const layout of ["hybrid", "unified"] as const)
  describe(`systemd, ${layout} cgroups`, () => {
    for (const name of layouts[layout]) needed(name, () => underSystemd(script, name, layout), 240_000);
  });

requires("runc", "unshare")("without systemd, it is named as what is missing", async () => {
  // A /run of its own, in which no systemd has left its sign.
  const bare = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$0" "$@"'];
  for (const command of [[...corten, "runc"], ["runc"]]) {
    await using bundle = makeBundle([...bare, ...command, "--systemd-cgroup"]);
    bundle.configure(["true"], (spec) => {
      spec.linux!.cgroupsPath = `:test:${bundle.id}`;
    });
    const { code, stderr } = await bundle.runc("run", bundle.id);
    expect(code).not.toBe(0);
    expect(stderr).toContain("systemd not running on this host");
  }
});
