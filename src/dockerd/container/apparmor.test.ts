import { describe, expect, test } from "bun:test";
import type { Daemon } from "../daemon.ts";
import { ensureProfile, installProfile, profileOf, saveProfile, shownProfile } from "./apparmor.ts";
import type { ContainerRecord } from "./container.ts";
import { fullHostConfig } from "./defaults.ts";

function daemonOn(machine: { supported: boolean; visible: boolean; failing?: boolean }) {
  const calls: string[] = [];
  const call = (kind: string) => async (name: string) => {
    calls.push(`${kind} ${name}`);
    if (machine.failing) throw new Error("no parser");
  };
  const apparmor = { ...machine, load: call("load"), ensure: call("ensure") };
  return { daemon: { apparmor } as unknown as Daemon, calls };
}

const record = (SecurityOpt: string[], Privileged = false) =>
  ({ host: fullHostConfig({ SecurityOpt, Privileged }) }) as ContainerRecord;

/** What is shown before and after a start, and what the process gets. */
function started(daemon: Daemon, one: ContainerRecord) {
  const before = shownProfile(one);
  saveProfile(daemon, one);
  return [before, shownProfile(one), profileOf(daemon, one)];
}

describe("profiles of containers", () => {
  const on = { supported: true, visible: true };

  test("are docker-default, none for the privileged, and what is asked for", () => {
    const { daemon } = daemonOn(on);
    expect(started(daemon, record([]))).toEqual(["", "docker-default", "docker-default"]);
    expect(started(daemon, record([], true))).toEqual(["", "unconfined", "unconfined"]);
    expect(started(daemon, record(["apparmor=mine"]))).toEqual(["mine", "mine", "mine"]);
    expect(started(daemon, record(["apparmor:unconfined"]))).toEqual([
      "unconfined",
      "unconfined",
      "unconfined",
    ]);
    expect(started(daemon, record(["apparmor=mine"], true))).toEqual(["mine", "mine", "mine"]);
    expect(started(daemon, record(["apparmor="]))).toEqual(["", "docker-default", "docker-default"]);
  });

  test("are none without AppArmor, and nothing is loaded", async () => {
    const { daemon, calls } = daemonOn({ supported: false, visible: false });
    await installProfile(daemon.apparmor);
    for (const options of [[], ["apparmor=mine"]])
      expect(started(daemon, record(options))).toEqual([options[0]?.slice(9) ?? "", "", undefined]);
    expect(calls).toEqual([]);
  });

  test("are shown and not used where they cannot be loaded", () => {
    const { daemon } = daemonOn({ supported: false, visible: true });
    expect(started(daemon, record([]))).toEqual(["", "docker-default", undefined]);
  });

  test("the default one is loaded when it is needed, and no other", async () => {
    const { daemon, calls } = daemonOn(on);
    await installProfile(daemon.apparmor);
    for (const profile of ["docker-default", "mine", "unconfined", undefined])
      await ensureProfile(daemon, profile);
    expect(calls).toEqual(["load docker-default", "ensure docker-default"]);
  });

  test("a default one that cannot be loaded fails the container, and not the daemon", async () => {
    const { daemon } = daemonOn({ ...on, failing: true });
    await installProfile(daemon.apparmor);
    const refused = await ensureProfile(daemon, "docker-default").catch((error: Error) => error.message);
    expect(refused).toBe(
      "AppArmor enabled on system but the docker-default profile could not be loaded: no parser",
    );
  });
});
