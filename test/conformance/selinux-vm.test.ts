/**
 * Labels on a kernel that enforces them: Debian's, in a VM as in cgroup2.test.ts, with a policy of our own (test/vm/selinux).
 * Our runc, dockerd, containerd's CRI and crio; what they label is read from outside, and what the kernel refuses by it.
 */
import { expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../helpers/engine.ts";
import { startTestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";
import { contexts, policy } from "../vm/selinux/policy.ts";

const vm = join(import.meta.dir, "../vm");
const built = process.env["CORTEN_BIN"] ?? join(import.meta.dir, "../../dist/corten");

/** What dockerd asks of the kernel, also without a network. */
const modules = "bridge veth nf_tables nft_chain_nat nft_masq nft_nat nft_ct nft_fib_ipv4";

async function succeeds(...argv: string[]): Promise<void> {
  const { code, stdout, stderr } = await run(argv, { timeout: 100_000 });
  if (code !== 0) throw new Error(`${argv[0]}: ${stdout}${stderr}`);
}

requires(
  "qemu-system-x86_64",
  "cpio",
  "checkpolicy",
  "docker-registry",
  "skopeo",
  built,
)(
  "labels of containers, pods and their volumes on a kernel with SELinux",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "corten-selinux-vm-"));
    const at = (name: string) => join(directory, name);
    try {
      writeFileSync(at("policy.conf"), policy);
      writeFileSync(at("contexts"), contexts);
      await succeeds("checkpolicy", "-M", "-U", "allow", "-c", "33", "-o", at("policy"), at("policy.conf"));
      const guest = join(vm, "selinux/guest.ts");
      await succeeds(process.execPath, "build", guest, "--target=bun", "--outfile", at("guest.js"));
      {
        await using registry = await startTestRegistry();
        await succeeds("tar", "-C", registry.data, "-cf", at("registry.tar"), ".");
      }
      const result = await run(
        [
          join(vm, "run"),
          join(vm, "selinux/start.sh"),
          `${at("policy")}:/policy`,
          `${at("contexts")}:/usr/share/containers/selinux/contexts`,
          `${at("guest.js")}:/guest.js`,
          `${at("registry.tar")}:/registry.tar`,
          `${built}:/usr/bin/corten`,
          "/usr/bin/docker-registry",
        ],
        {
          timeout: 590_000,
          env: {
            CORTEN_VM_CMDLINE: "security=selinux selinux=1 enforcing=1",
            CORTEN_VM_MODULES: modules,
            CORTEN_VM_SECONDS: "290",
            CORTEN_VM_BOOTS: "2",
          },
        },
      );
      const said = `${result.stdout}${result.stderr}`;
      expect(said).not.toContain("FAILED");
      expect({ code: result.code, said }).toMatchObject({ code: 0 });
      const passed = (name: string) =>
        result.stdout.split("\n").filter((line) => line.startsWith(`ok ${name}`)).length;
      expect(["runc", "dockerd", "containerd", "crio"].map(passed)).toEqual([24, 39, 18, 22]);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
  600_000,
);
