import { describe, expect, test } from "bun:test";
import { resolveUser } from "../../base/accounts.ts";
import type { CreateContainerRequest } from "../../engine/types.ts";
import { capabilityNames } from "../../oci/capabilities.ts";
import type { Mount, Process, Spec } from "../../oci/runtime-spec.ts";
import { defaultConfig } from "../config.ts";
import { completeHost, fullConfig, fullHostConfig, mergeImage } from "../container/defaults.ts";
import { planMounts } from "../container/mount-points.ts";
import type { ContainerStore } from "../container/store.ts";
import { validateConfig, validateHost } from "../container/validate.ts";
import recorded from "./build.golden.json";
import { buildSpec } from "./build.ts";
import { parseSecurityOptions } from "./security.ts";

/**
 * build.golden.json: requests to a real dockerd 20.10 (root dir /containers, volumes in /volumes), and the
 * config.json each made its runtime run. The image had PATH unset, FOO=bar, and the accounts below.
 */
const golden = recorded as unknown as Record<
  string,
  { request: CreateContainerRequest; id: string; spec: Spec }
>;

const passwd =
  "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n";
const group = "root:x:0:\nbin:x:1:root,daemon\nwheel:x:10:root,alice\naudio:x:29:alice\nusers:x:1000:\n";

function specFor(request: CreateContainerRequest): Spec {
  const { HostConfig, NetworkingConfig: _, ...sent } = structuredClone(request);
  const config = fullConfig(sent);
  const host = fullHostConfig(HostConfig);
  // A bind by --mount needs its source; the recording machine's is not here.
  for (const mount of host.Mounts ?? [])
    if (mount.Type === "bind") mount.BindOptions = { ...mount.BindOptions, CreateMountpoint: true };
  mergeImage(config, { Env: ["FOO=bar"], Cmd: ["sh"] });
  validateConfig(config);
  validateHost(host, defaultConfig(), { cgroupVersion: 1, blkioWeight: false });
  if (config.Hostname === "") config.Hostname = "$SHORT";
  completeHost(host, defaultConfig(), 1);
  host.OomKillDisable ??= false;
  const plans = planMounts(config, host, {} as ContainerStore);
  const shm =
    host.IpcMode === "host"
      ? "/dev/shm"
      : host.IpcMode === "shareable"
        ? "/containers/$ID/mounts/shm"
        : undefined;
  return buildSpec({
    id: "$ID",
    config,
    host,
    args: [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])],
    user: resolveUser(config.User, { passwd, group }, host.GroupAdd ?? []),
    rootfs: "rootfs",
    files: {
      resolvConf: "/containers/$ID/resolv.conf",
      hostname: "/containers/$ID/hostname",
      hosts: "/containers/$ID/hosts",
    },
    networkNamespace: "private",
    shared: {},
    ...(shm === undefined ? {} : { shmPath: shm }),
    mounts: [
      ...plans.map((plan) => ({
        type: plan.type === "tmpfs" ? ("tmpfs" as const) : ("bind" as const),
        source: plan.type === "volume" ? `/volumes/${plan.volume?.name ?? "anonymous"}/_data` : plan.source,
        destination: plan.destination,
        writable: plan.writable,
        recursive: plan.recursive,
        propagation: plan.propagation,
        ...(plan.data === undefined ? {} : { data: plan.data }),
      })),
      ...Object.entries(host.Tmpfs ?? {}).map(([destination, data]) => ({
        type: "tmpfs" as const,
        source: "",
        destination,
        writable: true,
        recursive: false,
        propagation: "",
        data,
      })),
    ],
    security: parseSecurityOptions(host.SecurityOpt ?? [], { noNewPrivileges: false }),
    seccomp: undefined,
    ...(host.Init ? { initPath: "/usr/bin/docker-init" } : {}),
    cgroupParent: "",
    cgroupDriver: "cgroupfs",
    defaultUlimits: {},
    facts: {
      // What 20.10 knows of, all of it granted.
      capabilities: new Set(capabilityNames.slice(0, 38)),
      cgroupVersion: 1,
      blkioWeight: false,
      device: (path) =>
        path === "/dev/zero" ? { type: "c", major: 1, minor: 5, fileMode: 0o666, uid: 0, gid: 0 } : undefined,
    },
  });
}

const sorted = (mounts: Mount[] | undefined) =>
  [...(mounts ?? [])].sort((a, b) => (a.destination < b.destination ? -1 : 1));

describe("the spec is the one dockerd 20.10 makes", () => {
  for (const [name, { request, spec: expected }] of Object.entries(golden)) {
    test(name, () => {
      const spec = specFor(request);
      expect(ordered(spec.process!)).toEqual(ordered(expected.process!));
      expect(spec.hostname).toBe(expected.hostname);
      expect(spec.root).toEqual(expected.root);
      // Go walks a map to order them: only the set is fixed.
      expect(sorted(spec.mounts)).toEqual(sorted(expected.mounts));
      expect(spec.linux?.namespaces).toEqual(expected.linux?.namespaces);
      expect(spec.linux?.cgroupsPath).toBe(expected.linux!.cgroupsPath);
      expect(spec.linux?.sysctl).toEqual(expected.linux!.sysctl);
      expect(spec.linux?.resources).toEqual(withoutZeros(expected.linux!.resources!));
      if (name !== "privileged") expect(spec.linux?.devices).toEqual(expected.linux!.devices);
      expect(spec.linux?.readonlyPaths).toEqual(expected.linux!.readonlyPaths);
      // Newer Docker masks two more.
      const newer = ["/proc/interrupts", "/sys/devices/virtual/powercap"];
      expect(spec.linux?.maskedPaths?.filter((path) => !newer.includes(path))).toEqual(
        expected.linux!.maskedPaths,
      );
    });
  }
});

/** --group-add is a map in Go as well, and so is what orders capabilities nobody reads in order. */
function ordered(process: Process): Process {
  const copy = structuredClone(process);
  copy.user.additionalGids?.sort((a, b) => a - b);
  return copy;
}

/** 20.10 writes zeros for limits nobody set; they mean the same as nothing. */
function withoutZeros(resources: NonNullable<NonNullable<Spec["linux"]>["resources"]>) {
  const copy = structuredClone(resources);
  if (copy.cpu?.shares === 0) delete copy.cpu.shares;
  if (copy.cpu && Object.keys(copy.cpu).length === 0) delete copy.cpu;
  if (copy.blockIO?.weight === 0) delete copy.blockIO.weight;
  if (copy.blockIO && Object.keys(copy.blockIO).length === 0) delete copy.blockIO;
  return copy;
}

test("a container in another one's network leaves that one's sysctls as they are", () => {
  const request = Object.values(golden)[0]!.request;
  const sysctls = (NetworkMode: string) =>
    specFor({ ...request, HostConfig: { ...request.HostConfig, NetworkMode } }).linux?.sysctl ?? {};
  expect(Object.keys(sysctls("bridge"))).toContain("net.ipv4.ip_unprivileged_port_start");
  expect(sysctls(`container:${"a".repeat(64)}`)).toEqual({});
});
