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
}, 240_000);

afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

const fields = "^(Cap|Seccomp|NoNewPrivs|Groups|Uid|Gid|Umask)";
/** Recorded from the real ones, without flags. */
const usual = {
  Umask: "0022",
  Uid: "0 0 0 0",
  Gid: "0 0 0 0",
  Groups: "0",
  CapInh: "0000000000000000",
  CapPrm: "00000000a80425fb",
  CapEff: "00000000a80425fb",
  CapBnd: "00000000a80425fb",
  CapAmb: "0000000000000000",
  NoNewPrivs: "0",
  Seccomp: "2",
  Seccomp_filters: "1",
};
const ids = (id: number) => Array(4).fill(id).join(" ");
/** A process that is not root has capabilities to give away, and none itself. */
const powerless = { CapPrm: "0000000000000000", CapEff: "0000000000000000" };
/** What differs with flags. */
const recorded: [flags: string[], differences: Partial<typeof usual>][] = [
  [[], {}],
  [
    ["--cap-add", "NET_ADMIN", "--cap-drop", "KILL"],
    { CapPrm: "00000000a80435db", CapEff: "00000000a80435db", CapBnd: "00000000a80435db" },
  ],
  [
    ["--cap-drop", "ALL", "--cap-add", "SYS_ADMIN"],
    { CapPrm: "0000000000200000", CapEff: "0000000000200000", CapBnd: "0000000000200000" },
  ],
  [["--security-opt", "no-new-privileges"], { NoNewPrivs: "1" }],
  [["--security-opt", "seccomp=unconfined"], { Seccomp: "0", Seccomp_filters: "0" }],
  [["--user", "1000:1000"], { ...powerless, Uid: ids(1000), Gid: ids(1000), Groups: "1000" }],
  [["--user", "nobody"], { ...powerless, Uid: ids(65534), Gid: ids(65534), Groups: "50 65534" }],
  [
    ["--user", "1000", "--cap-add", "NET_ADMIN"],
    { ...powerless, Uid: ids(1000), CapBnd: "00000000a80435fb" },
  ],
  [["--group-add", "staff", "--user", "33"], { ...powerless, Uid: ids(33), Gid: ids(33), Groups: "33 50" }],
  [["--pid", "host"], {}],
  [["--oom-score-adj", "500"], {}],
];

for (const [flags, differences] of recorded)
  test(`/proc/self/status with ${flags.join(" ") || "no flags"} is what it is under docker`, async () => {
    const argv = ["run", "--rm", ...flags, registry.busybox, "grep", "-E", fields, "/proc/self/status"];
    const { stdout } = await engine.docker(...argv);
    const lines = stdout.trim().split("\n");
    const status = lines.map((line) => line.replaceAll(/\s+/g, " ").trim().split(": "));
    expect(Object.fromEntries(status)).toEqual({ ...usual, ...differences });
  });
