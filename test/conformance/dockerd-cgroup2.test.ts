/**
 * Our dockerd on a pure cgroup v2, with our runtime and with crun (which refuses the reference machine's hybrid tree), in a
 * VM as in cgroup2.test.ts. Limits, freezer, OOM kills, device filter, bridge, published ports, and a killed daemon.
 */
import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../helpers/engine.ts";
import { startTestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const vm = join(import.meta.dir, "../vm");
const built = join(import.meta.dir, "../../dist/corten");

/** What the bridge network asks of the kernel. */
const modules = [
  "bridge",
  "veth",
  "nf_tables",
  "nft_chain_nat",
  "nft_masq",
  "nft_nat",
  "nft_ct",
  "nft_fib_ipv4",
];

requires(
  "qemu-system-x86_64",
  "cpio",
  "docker-registry",
  "skopeo",
  "/usr/bin/crun",
  built,
)(
  "dockerd on a pure cgroup v2: our runtime and crun run, limit, freeze, publish, and tell OOM kills",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "corten-vm-registry-"));
    try {
      const data = join(directory, "registry.tar");
      {
        await using registry = await startTestRegistry();
        const packed = await run(["tar", "-C", registry.data, "-cf", data, "."]);
        if (packed.code !== 0) throw new Error(`tar: ${packed.stderr}`);
      }
      const result = await run(
        [
          join(vm, "run"),
          join(vm, "dockerd.sh"),
          `${built}:/usr/bin/corten`,
          "/usr/bin/crun",
          "/usr/bin/docker-registry",
          `${data}:/registry.tar`,
        ],
        {
          timeout: 590_000,
          env: { CORTEN_VM_MODULES: modules.join(" "), CORTEN_VM_SECONDS: "290", CORTEN_VM_BOOTS: "2" },
        },
      );
      const said = `${result.stdout}${result.stderr}`;
      expect(said).not.toContain("FAILED");
      expect({ code: result.code, said }).toMatchObject({ code: 0 });
      const passed = (runtime: string) =>
        result.stdout.split("\n").filter((line) => line.startsWith(`ok ${runtime}: `)).length;
      expect({ corten: passed("corten"), crun: passed("crun") }).toEqual({ corten: 22, crun: 22 });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
  600_000,
);
