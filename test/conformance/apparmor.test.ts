/**
 * AppArmor: Debian's kernel has it on, so our programs run in a VM with that, next to Debian's runc; and what they say on a
 * machine without.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeBundle } from "../helpers/bundle.ts";
import { corten, run } from "../helpers/engine.ts";
import { startTestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const vm = join(import.meta.dir, "../vm");
const built = process.env["CORTEN_BIN"] ?? join(import.meta.dir, "../../dist/corten");

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "corten-vm-apparmor-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const test = existsSync("/sys/kernel/security/apparmor")
  ? requires("a machine without AppArmor")
  : requires("runc");

test("without AppArmor a profile is the kernel's to refuse, under both runtimes", async () => {
  for (const command of [[...corten, "runc"], ["runc"]]) {
    await using bundle = makeBundle(command);
    bundle.configure(["true"], (spec) => {
      spec.process!.apparmorProfile = "docker-default";
    });
    const { code, stderr } = await bundle.runc("run", bundle.id);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /unable to start container process: error during container init: unable to apply apparmor profile: apparmor failed to apply profile: write \/proc\/(thread-)?self\/attr\/exec: invalid argument/,
    );
  }
});

requires(
  "qemu-system-x86_64",
  "cpio",
  "docker-registry",
  "skopeo",
  "/usr/sbin/runc",
  "/sbin/apparmor_parser",
  built,
)(
  "with AppArmor: profiles of runc, dockerd, containerd's CRI and crio, in effect",
  async () => {
    const registryData = join(directory, "registry.tar");
    {
      await using registry = await startTestRegistry();
      await pack(registryData, registry.data, ".");
    }
    const rules = join(directory, "apparmor.tar");
    await pack(
      rules,
      "/",
      "etc/apparmor.d/abi",
      "etc/apparmor.d/abstractions",
      "etc/apparmor.d/tunables",
      "etc/apparmor/parser.conf",
      "usr/share/apparmor-features",
      "usr/share/apparmor-features",
    );
    const guest = join(directory, "guest.js");
    const made = await Bun.build({
      entrypoints: [join(vm, "apparmor/guest.ts")],
      target: "bun",
      outdir: directory,
      naming: "guest.js",
    });
    expect(made.success).toBe(true);
    const result = await run(
      [
        join(vm, "run"),
        join(vm, "apparmor/start.sh"),
        `${built}:/usr/bin/corten`,
        `${guest}:/guest.js`,
        "/usr/sbin/runc",
        "/usr/bin/docker-registry",
        "/sbin/apparmor_parser",
        `${registryData}:/registry.tar`,
        `${rules}:/apparmor.tar`,
      ],
      {
        timeout: 590_000,
        env: {
          CORTEN_VM_MODULES: "bridge veth nf_tables nft_chain_nat nft_masq nft_nat nft_ct nft_fib_ipv4",
          CORTEN_VM_SECONDS: "290",
          CORTEN_VM_BOOTS: "2",
        },
      },
    );
    const said = `${result.stdout}${result.stderr}`;
    expect(said).not.toContain("FAILED");
    expect({ code: result.code, said }).toMatchObject({ code: 0 });
    const passed = (name: string) =>
      result.stdout.split("\n").filter((line) => line.startsWith(`ok ${name}: `)).length;
    expect({
      dockerd: passed("dockerd"),
      runc: passed("runc"),
      containerd: passed("containerd"),
      crio: passed("crio"),
    }).toEqual({ dockerd: 20, runc: 2, containerd: 11, crio: 15 });
  },
  600_000,
);

async function pack(archive: string, ...what: [directory: string, ...names: string[]]): Promise<void> {
  const [root, ...names] = what;
  const packed = await run(["tar", "-C", root, "-cf", archive, ...names]);
  if (packed.code !== 0) throw new Error(`tar: ${packed.stderr}`);
}
