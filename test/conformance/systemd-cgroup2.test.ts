/**
 * systemd's cgroup driver on a pure cgroup v2 with all controllers, as nodes of Kubernetes have it: a systemd 252 is the
 * first process of a VM (software emulation, Debian's cloud kernel) that shares this machine's files. One boot for all.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { requires } from "../helpers/requires.ts";
import { inSystemdMachine } from "../helpers/systemd-machine.ts";
import { systemdProgram } from "../helpers/under-systemd.ts";
import { scenarios } from "./systemd-cgroup2.scenarios.ts";

/** A disk to limit, and what our dockerd's table asks of the kernel. */
const modules = [
  "loop",
  "bridge",
  "veth",
  "nf_tables",
  "nft_chain_nat",
  "nft_masq",
  "nft_nat",
  "nft_ct",
  "nft_fib_ipv4",
];

const name =
  "systemd on cgroup v2: runc, dockerd, containerd's CRI and crio set limits as the real runc does, and miss no OOM kill";

/** It takes four to nine minutes, and the emulated machine has stopped dead once in five times. */
const wanted = process.env["CORTEN_TEST_SYSTEMD_VM"] === "1";

if (!wanted)
  test.skip(`${name} [by hand, with CORTEN_TEST_SYSTEMD_VM=1: minutes long, and the emulator may hang]`, () => {});
else
  requires(
    "qemu-system-x86_64",
    systemdProgram,
    "systemctl",
    "runc",
    "docker-registry",
    "skopeo",
    "unshare",
  )(
    name,
    async () => {
      const script = join(import.meta.dir, "systemd-cgroup2.scenarios.ts");
      const { code, output } = await inSystemdMachine(script, { seconds: 880, modules });
      const passed: string[] = output.match(/(?<=^ok ).*(?= \(\d+\.\d s\)$)/gm) ?? [];
      // What was said is shown where anything is missing.
      expect({ passed, code, said: code === 0 ? "" : output }).toEqual({
        passed: Object.keys(scenarios),
        code: 0,
        said: "",
      });
    },
    900_000,
  );
