/**
 * Virtual machines: from `docker run` to the first output, and memory of one, beside gVisor on the same engine.
 *
 *   bun bench/vm.ts [ROUNDS]      needs qemu-system-x86, runsc, and what test/vm/kernel downloads; KVM is not used
 *
 * Processor time is that of the container's cgroup until its first output, which a busy machine does not change much.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEngine } from "../test/helpers/engine.ts";
import { useGuestKernel } from "../test/helpers/guest-kernel.ts";
import { startTestRegistry } from "../test/helpers/images.ts";

const rounds = Number(process.argv[2] ?? 5);
const scratch = mkdtempSync(join(tmpdir(), "corten-bench-vm-"));

/** A process with all below it. */
function tree(pid: number): number[] {
  let children: number[];
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .trim()
      .split(" ")
      .filter(Boolean)
      .map(Number);
  } catch {
    return [];
  }
  return [pid, ...children.flatMap(tree)];
}

const pss = (pid: number) =>
  Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0) / 1024;

/** User and system time in seconds (proc(5), fields 14 and 15), at 100 ticks a second. */
function cpu(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The processes of a container: those of its init, and for gVisor those of its sandbox, by the container's id. */
function processesOf(id: string, pid: number): number[] {
  const found = new Set(tree(pid));
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8");
      if (command.includes("runsc") && command.includes(id))
        for (const one of tree(Number(name))) found.add(one);
    } catch {
      // It ended while we looked.
    }
  }
  return [...found];
}

try {
  useGuestKernel(join(scratch, "cache"));
  const runsc = join(scratch, "runsc");
  writeFileSync(
    runsc,
    '#!/bin/sh\nexec /usr/bin/runsc --platform=ptrace --ignore-cgroups --network=none "$@"\n',
    { mode: 0o755 },
  );
  await using registry = await startTestRegistry();
  await using engine = await startEngine(["--add-runtime", `runsc=${runsc}`]);
  await engine.docker("pull", "-q", registry.busybox);
  for (const runtime of ["vm", "runsc", "corten"]) {
    const measured: { wall: number; cpu: number; memory: number }[] = [];
    for (let round = 0; round <= rounds; round++) {
      const begin = performance.now();
      const name = `${runtime}-${round}`;
      const flags = ["--runtime", runtime, "--network", "none", "--name", name];
      await engine.docker("run", "-d", ...flags, registry.busybox, "sh", "-c", "echo up; exec sleep 1000");
      while (!(await engine.docker("logs", name)).stdout.includes("up")) await Bun.sleep(10);
      const wall = performance.now() - begin;
      const [id, pid] = (await engine.docker("inspect", "-f", "{{.Id}} {{.State.Pid}}", name)).stdout
        .trim()
        .split(" ");
      const processes = processesOf(id!, Number(pid));
      const sum = (of: (pid: number) => number) => processes.reduce((total, one) => total + of(one), 0);
      // The first round makes what later ones find made.
      if (round > 0) measured.push({ wall, cpu: sum(cpu), memory: sum(pss) });
      await engine.docker("rm", "-f", name);
    }
    const least = (of: (one: (typeof measured)[number]) => number) => Math.min(...measured.map(of));
    console.log(
      `${runtime.padEnd(8)} to the first output ${least((one) => one.wall).toFixed(0)} ms, processor time ${least((one) => one.cpu).toFixed(2)} s, memory (PSS) ${least((one) => one.memory).toFixed(1)} MiB (least of ${rounds})`,
    );
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
