/** What a process sees of itself, as it is under dockerd 20.10 with runc 1.1.5 on the same image and command lines. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Engine, startEngine } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";

let registry: TestRegistry;
let engine: Engine;

beforeAll(async () => {
  registry = await startTestRegistry();
  engine = await startEngine(["--insecure-registry", registry.address]);
  expect((await engine.docker("pull", "-q", registry.busybox)).code).toBe(0);
}, 60_000);

afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

const fields = "^(Cap|Seccomp|NoNewPrivs|Groups|Uid|Gid|Umask)";
/** Recorded from the real ones. */
const recorded: [flags: string[], status: string[]][] = [
  [
    [],
    [
      "Umask: 0022",
      "Uid: 0 0 0 0",
      "Gid: 0 0 0 0",
      "Groups: 0",
      "CapInh: 0000000000000000",
      "CapPrm: 00000000a80425fb",
      "CapEff: 00000000a80425fb",
      "CapBnd: 00000000a80425fb",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 0",
      "Seccomp: 2",
      "Seccomp_filters: 1",
    ],
  ],
  [
    ["--cap-add", "NET_ADMIN", "--cap-drop", "KILL"],
    [
      "Umask: 0022",
      "Uid: 0 0 0 0",
      "Gid: 0 0 0 0",
      "Groups: 0",
      "CapInh: 0000000000000000",
      "CapPrm: 00000000a80435db",
      "CapEff: 00000000a80435db",
      "CapBnd: 00000000a80435db",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 0",
      "Seccomp: 2",
      "Seccomp_filters: 1",
    ],
  ],
  [
    ["--cap-drop", "ALL", "--cap-add", "SYS_ADMIN"],
    [
      "Umask: 0022",
      "Uid: 0 0 0 0",
      "Gid: 0 0 0 0",
      "Groups: 0",
      "CapInh: 0000000000000000",
      "CapPrm: 0000000000200000",
      "CapEff: 0000000000200000",
      "CapBnd: 0000000000200000",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 0",
      "Seccomp: 2",
      "Seccomp_filters: 1",
    ],
  ],
  [
    ["--security-opt", "no-new-privileges"],
    [
      "Umask: 0022",
      "Uid: 0 0 0 0",
      "Gid: 0 0 0 0",
      "Groups: 0",
      "CapInh: 0000000000000000",
      "CapPrm: 00000000a80425fb",
      "CapEff: 00000000a80425fb",
      "CapBnd: 00000000a80425fb",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 1",
      "Seccomp: 2",
      "Seccomp_filters: 1",
    ],
  ],
  [
    ["--security-opt", "seccomp=unconfined"],
    [
      "Umask: 0022",
      "Uid: 0 0 0 0",
      "Gid: 0 0 0 0",
      "Groups: 0",
      "CapInh: 0000000000000000",
      "CapPrm: 00000000a80425fb",
      "CapEff: 00000000a80425fb",
      "CapBnd: 00000000a80425fb",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 0",
      "Seccomp: 0",
      "Seccomp_filters: 0",
    ],
  ],
  [
    ["--user", "1000:1000"],
    [
      "Umask: 0022",
      "Uid: 1000 1000 1000 1000",
      "Gid: 1000 1000 1000 1000",
      "Groups: 1000",
      "CapInh: 0000000000000000",
      "CapPrm: 0000000000000000",
      "CapEff: 0000000000000000",
      "CapBnd: 00000000a80425fb",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 0",
      "Seccomp: 2",
      "Seccomp_filters: 1",
    ],
  ],
  [
    ["--user", "nobody"],
    [
      "Umask: 0022",
      "Uid: 65534 65534 65534 65534",
      "Gid: 65534 65534 65534 65534",
      "Groups: 50 65534",
      "CapInh: 0000000000000000",
      "CapPrm: 0000000000000000",
      "CapEff: 0000000000000000",
      "CapBnd: 00000000a80425fb",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 0",
      "Seccomp: 2",
      "Seccomp_filters: 1",
    ],
  ],
  [
    ["--user", "1000", "--cap-add", "NET_ADMIN"],
    [
      "Umask: 0022",
      "Uid: 1000 1000 1000 1000",
      "Gid: 0 0 0 0",
      "Groups: 0",
      "CapInh: 0000000000000000",
      "CapPrm: 0000000000000000",
      "CapEff: 0000000000000000",
      "CapBnd: 00000000a80435fb",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 0",
      "Seccomp: 2",
      "Seccomp_filters: 1",
    ],
  ],
  [
    ["--group-add", "staff", "--user", "33"],
    [
      "Umask: 0022",
      "Uid: 33 33 33 33",
      "Gid: 33 33 33 33",
      "Groups: 33 50",
      "CapInh: 0000000000000000",
      "CapPrm: 0000000000000000",
      "CapEff: 0000000000000000",
      "CapBnd: 00000000a80425fb",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 0",
      "Seccomp: 2",
      "Seccomp_filters: 1",
    ],
  ],
  [
    ["--pid", "host"],
    [
      "Umask: 0022",
      "Uid: 0 0 0 0",
      "Gid: 0 0 0 0",
      "Groups: 0",
      "CapInh: 0000000000000000",
      "CapPrm: 00000000a80425fb",
      "CapEff: 00000000a80425fb",
      "CapBnd: 00000000a80425fb",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 0",
      "Seccomp: 2",
      "Seccomp_filters: 1",
    ],
  ],
  [
    ["--oom-score-adj", "500"],
    [
      "Umask: 0022",
      "Uid: 0 0 0 0",
      "Gid: 0 0 0 0",
      "Groups: 0",
      "CapInh: 0000000000000000",
      "CapPrm: 00000000a80425fb",
      "CapEff: 00000000a80425fb",
      "CapBnd: 00000000a80425fb",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 0",
      "Seccomp: 2",
      "Seccomp_filters: 1",
    ],
  ],
];

for (const [flags, status] of recorded)
  test(`/proc/self/status with ${flags.join(" ") || "no flags"} is what it is under docker`, async () => {
    const argv = ["run", "--rm", ...flags, registry.busybox, "grep", "-E", fields, "/proc/self/status"];
    const { stdout } = await engine.docker(...argv);
    const lines = stdout.trim().split("\n");
    expect(lines.map((line) => line.trim().split(/\s+/).join(" "))).toEqual(status);
  });
