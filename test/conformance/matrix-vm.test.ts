/**
 * The rows of virtual machines in the table of engines and runtimes (docs/conformance.md, matrix.test.ts), on QEMU without
 * KVM: one engine after the other, and with time for machines that are emulated on a busy host.
 */
import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { useGuestKernel } from "../helpers/guest-kernel.ts";
import { startTestRegistry } from "../helpers/images.ts";
import { Comparison, chosenEngines } from "../helpers/matrix/compare.ts";
import { requires } from "../helpers/requires.ts";

const needed = ["qemu-system-x86_64", "docker", "ctr", "docker-registry", "skopeo", "script"];

requires(...needed, "/bin/busybox")(
  "each engine of ours does with machines what the page says",
  async () => {
    const cache = mkdtempSync(join(tmpdir(), "corten-matrix-vm-"));
    try {
      useGuestKernel(cache);
      await using registry = await startTestRegistry();
      const comparison = new Comparison(registry);
      for (const name of chosenEngines()) await comparison.tryEngine(name, ["vm"]);
      expect(comparison.finish()).toEqual([]);
    } finally {
      rmSync(cache, { recursive: true, force: true });
    }
  },
  1_800_000,
);
