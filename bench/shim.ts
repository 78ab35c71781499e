/** Our shim and Go's under the same containerd, in turn: the way of one container, and the memory of fifty. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { answers, corten, end, must, pause, pidsNaming, pss, quiet, start } from "./peers.ts";

export interface ShimCases {
  root: string;
  compare(
    name: string,
    target: number | undefined,
    ours: () => Promise<unknown>,
    theirs: () => Promise<unknown>,
    times?: number,
  ): Promise<void>;
  keep(result: { name: string; unit: "ms" | "MB"; ours: number; theirs: number; target?: number }): void;
  wanted(name: string): boolean;
}

const runtimes = { ours: "io.containerd.corten.v2", theirs: "io.containerd.runc.v2" };
const memoryCase = "shim: memory per container, 50 running, PSS";

export async function benchShims(cases: ShimCases): Promise<void> {
  const root = join(cases.root, "shims");
  const rootfs = join(root, "rootfs");
  mkdirSync(join(rootfs, "bin"), { recursive: true });
  for (const name of ["proc", "sys", "dev", "tmp"]) mkdirSync(join(rootfs, name));
  for (const name of ["busybox", "true", "sleep"]) quiet(["cp", "/bin/busybox", join(rootfs, "bin", name)]);
  mkdirSync(join(root, "bin"));
  quiet([corten, "shim", "install", join(root, "bin")]);
  writeFileSync(
    join(root, "config.toml"),
    `version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[ttrpc]
  address = "${join(root, "ttrpc.sock")}"
`,
  );
  const socket = join(root, "containerd.sock");
  const { PATH } = process.env;
  process.env["PATH"] = `${join(root, "bin")}:${PATH}`;
  const containerd = start(
    [
      "containerd",
      ...["--config", join(root, "config.toml"), "--address", socket],
      ...["--root", join(root, "lib"), "--state", join(root, "run")],
    ],
    join(root, "log"),
  );
  process.env["PATH"] = PATH;
  await answers(socket);
  const ctr = (...argv: string[]) => must(["ctr", "--address", socket, ...argv]);
  let serial = 0;
  const run = (runtime: string, flags: string[], ...command: string[]) => {
    const name = `shim-${process.pid}-${serial++}`;
    const all = ["run", ...flags, "--runtime", runtime, "--env", "PATH=/bin", "--rootfs", rootfs, name];
    return ctr(...all, ...command).then(() => name);
  };
  await cases.compare(
    "shim: ctr run --rm on the real containerd",
    2,
    () => run(runtimes.ours, ["--rm"], "true"),
    () => run(runtimes.theirs, ["--rm"], "true"),
  );
  if (cases.wanted(memoryCase)) {
    const per = { ours: 0, theirs: 0 };
    for (const who of ["ours", "theirs"] as const) {
      const names: string[] = [];
      for (let batch = 0; batch < 10; batch++)
        names.push(
          ...(await Promise.all(Array.from({ length: 5 }, () => run(runtimes[who], ["-d"], "sleep", "600")))),
        );
      await pause(6000);
      per[who] = pss(shimsIn(root)) / 50;
      await Promise.all(names.map((name) => ctr("task", "rm", "-f", name).catch(() => undefined)));
      await Promise.all(names.map((name) => ctr("container", "rm", name)));
    }
    cases.keep({ name: memoryCase, unit: "MB", ...per, target: 3 });
  }
  await end(containerd);
}

/** Shims, and the monitors that belong to them; not containerd itself. */
function shimsIn(root: string): number[] {
  return pidsNaming(root).filter((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return command.includes("containerd-shim-") || command.includes("\0monitor\0");
    } catch {
      return false;
    }
  });
}
