/**
 * A virtual machine (emulated, Debian's kernel) whose first process is a real systemd on a pure cgroup v2 with all of the
 * kernel's controllers. Its root is this machine's, shared read-only, with a writable layer in the guest's memory above.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpio } from "../../src/vm/cpio.ts";
import { findModules, readModule } from "../../src/vm/kernel.ts";
import { findFileServer } from "../../src/vm/virtiofsd.ts";
import { unpackKernel } from "../../src/vm/vmlinux.ts";
import { corten, until } from "./engine.ts";
import { systemdProgram } from "./under-systemd.ts";

const memory = 2048;
/** In the guest: file systems of its own, of which containers' roots can be made. */
const scratch = "/var/tmp";

/** Runs `script` (of Bun) as a service of that systemd; its output and whether it exited with 0. */
export async function inSystemdMachine(
  script: string,
  options: { seconds: number; modules?: readonly string[]; words?: readonly string[] },
): Promise<{ code: number; output: string }> {
  const directory = mkdtempSync(join(tmpdir(), "corten-systemd-vm-"));
  const started: Bun.Subprocess[] = [];
  try {
    const linux = kernelDirectory();
    writeFileSync(join(directory, "vmlinux"), unpackKernel(readFileSync(join(linux, "vmlinuz"))));
    writeFileSync(
      join(directory, "initramfs"),
      initramfs(join(linux, "modules"), options.modules ?? [], [script, ...(options.words ?? [])]),
    );
    const socket = join(directory, "files.sock");
    const log = join(directory, "log");
    const files = Bun.spawn(["/bin/sh", "-ec", shareRoot(directory, socket)], {
      stdio: ["ignore", Bun.file(log), Bun.file(log)],
    });
    started.push(files);
    await until("the server of files", () => {
      if (files.exitCode !== null) throw new Error(`virtiofsd: ${readFileSync(log, "utf8")}`);
      return existsSync(socket);
    });
    const console = join(directory, "console");
    const machine = Bun.spawn(machineArguments(directory, socket), {
      stdio: ["ignore", Bun.file(console), "inherit"],
    });
    started.push(machine);
    const timer = setTimeout(() => machine.kill("SIGKILL"), options.seconds * 1000);
    await machine.exited;
    clearTimeout(timer);
    const output = readFileSync(console, "utf8").replaceAll("\r", "");
    const status = output.match(/^--status-- (\d+)$/m)?.[1];
    return { code: Number(status ?? -1), output: output.replace(/^--status--.*\n/m, "") };
  } finally {
    for (const one of started.reverse()) {
      one.kill("SIGKILL");
      await one.exited;
    }
    rmSync(directory, { recursive: true, force: true });
  }
}

function kernelDirectory(): string {
  const found = spawnSync(join(import.meta.dir, "../vm/kernel"), { encoding: "utf8" });
  if (found.status !== 0) throw new Error(`test/vm/kernel: ${found.stderr}`);
  return found.stdout.trim();
}

/** Serves this machine's root without what is mounted below it, and the repository, which may be such a mount. */
function shareRoot(directory: string, socket: string): string {
  const root = join(directory, "root");
  mkdirSync(root);
  // To the guest it is one file system: an overlay shows nothing of others below it. Nothing here changes meanwhile; with less
  // of a cache it would read a program again whenever one starts it.
  const argv = findFileServer()
    .filter(
      (word, index, all) =>
        !/^--fd=|announce.submounts/.test(word) && !/announce.submounts/.test(all[index + 1] ?? ""),
    )
    .map((word) => word.replace("/shared", root).replace("cache=auto", "cache=always"));
  const places = [process.cwd(), ...(corten.length === 1 ? [corten[0]!] : [])];
  return `
exec unshare --mount --propagation private /bin/sh -ec '
mount --bind / ${root}
${places.map((place) => `mount --bind ${place} ${root}${place}`).join("\n")}
exec ${argv.join(" ")} --socket-path=${socket}'`;
}

function machineArguments(directory: string, socket: string): string[] {
  const clock = /^cpu MHz\s*:\s*([\d.]+)/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "1000";
  const append = [
    "console=ttyS0 quiet loglevel=3 panic=-1 reboot=t edd=off no_timer_check random.trust_cpu=on",
    `tsc=reliable tsc_early_khz=${Math.round(Number(clock) * 1000)} mitigations=off cryptomgr.notests rdinit=/init`,
  ].join(" ");
  return [
    ...["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
    ...["-global", "virtio-mmio.force-legacy=false", "-M", "microvm,pcie=off,rtc=on,memory-backend=memory"],
    ...["-accel", "tcg,tb-size=256", "-cpu", "max", "-m", `${memory}M`, "-smp", "2", "-serial", "stdio"],
    ...["-object", `memory-backend-memfd,id=memory,size=${memory}M,share=on`],
    ...["-kernel", join(directory, "vmlinux"), "-initrd", join(directory, "initramfs"), "-append", append],
    ...[
      "-chardev",
      `socket,id=files,path=${socket}`,
      "-device",
      "vhost-user-fs-device,chardev=files,tag=host",
    ],
  ];
}

function initramfs(directory: string, more: readonly string[], script: readonly string[]): Uint8Array {
  const modules = findModules(directory, ["virtio_mmio", "virtiofs", "overlay", ...more]);
  const file = (path: string, content: Uint8Array | string, mode = 0o100644) => ({
    path,
    mode,
    content: typeof content === "string" ? Buffer.from(content) : content,
  });
  return cpio([
    ...["bin", "dev", "proc", "sys", "host", "memory", "new", "modules", "units"].map((path) => ({
      path,
      mode: 0o040755,
    })),
    file("bin/busybox", readFileSync("/bin/busybox"), 0o100755),
    file("init", first, 0o100755),
    file("job", job(script)),
    file("units/main.target", "[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\nWants=job.service\n"),
    file(
      "units/job.service",
      "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sh /memory/job\nStandardOutput=null\n",
    ),
    ...modules.map(({ name, path }, index) =>
      file(`modules/${String(index).padStart(3, "0")}-${name}`, readModule(path)),
    ),
  ]);
}

/** The guest's first process up to systemd. */
const first = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do insmod $module || echo "insmod $module failed"; done
mount -t virtiofs -o ro host /host
mount -t tmpfs -o mode=755 tmpfs /memory
mkdir /memory/upper /memory/work /memory/generators
cp -r /units /job /memory
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /new
mkdir -p /new/memory
# Tells systemd that it is in a container.
rm -f /new/.dockerenv
mount --bind /memory /new/memory
for place in proc sys dev; do mount --move /$place /new/$place; done
mount -t tmpfs -o mode=755 tmpfs /new/run
mount -t tmpfs -o mode=1777 tmpfs /new${scratch}
# What others of this machine write while we read it.
mount -t tmpfs -o mode=755 tmpfs /new/var/lib
echo systemd >/new/etc/hostname
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
  SYSTEMD_UNIT_PATH=/memory/units:/run/systemd/transient:/run/systemd/system.control SYSTEMD_GENERATOR_PATH=/memory/generators SYSTEMD_LOG_TARGET=console \\
  switch_root /new ${systemdProgram} --system --unit=main.target --show-status=no
`;

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

function job(script: readonly string[]): string {
  const environment: Record<string, string | undefined> = {
    PATH: process.env["PATH"],
    HOME: scratch,
    TMPDIR: scratch,
    CORTEN_BIN: corten.length === 1 ? corten[0] : undefined,
  };
  const exports = Object.entries(environment).flatMap(([key, value]) =>
    value === undefined ? [] : [`export ${key}=${quote(value)}`],
  );
  return [
    ...exports,
    "exec >/dev/ttyS0 2>&1",
    "ip link set lo up",
    `cd ${quote(process.cwd())}`,
    `${[process.execPath, ...script].map(quote).join(" ")}`,
    'echo "--status-- $?"',
    "busybox poweroff -f",
    "",
  ].join("\n");
}
