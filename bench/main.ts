/**
 * Ours and the real programs in turn, in one run on one machine; prints medians and the ratio.
 * It moves itself into network and mount namespaces of its own, so the host's bridges and rules are not touched.
 *
 *   bun bench/main.ts [case …]      BENCH_ROUNDS=N (default 15)      BENCH_JSON=path
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { benchBuilds, compilerCase } from "./build.ts";
import { benchCri } from "./cri.ts";
import { composeCompiler, prepareImages, startRegistry } from "./images.ts";
import {
  api,
  corten,
  must,
  type Peer,
  pause,
  pss,
  quiet,
  startCorten,
  startDocker,
  stopAll,
} from "./peers.ts";
import { benchShims } from "./shim.ts";

const wanted = process.argv.slice(2);
const wants = (name: string) => wanted.length === 0 || wanted.some((word) => name.includes(word));

if (process.env["BENCH_INSIDE"] === undefined) {
  // Debian's archive is not to be reached from inside.
  const compiler = wants(compilerCase) ? await composeCompiler() : undefined;
  const inside = spawnSync(
    "unshare",
    ["--net", "--mount", "--propagation", "private", process.execPath, ...process.argv.slice(1)],
    {
      stdio: "inherit",
      env: { ...process.env, BENCH_INSIDE: "1", ...(compiler ? { BENCH_COMPILER: compiler.archive } : {}) },
    },
  );
  compiler?.[Symbol.dispose]();
  process.exit(inside.status ?? 1);
}

interface Result {
  name: string;
  unit: "ms" | "MB";
  ours: number;
  theirs: number;
  target?: number;
}

const rounds = Number(process.env["BENCH_ROUNDS"] ?? 15);
const results: Result[] = [];
const root = mkdtempSync(join(tmpdir(), "corten-bench-"));

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Milliseconds; work that has timed a part of itself gives them as its result. */
async function time(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  const own = await work();
  return typeof own === "number" ? own : performance.now() - started;
}

/** Runs both in turn `times` times (after one warm-up each) and keeps the medians in milliseconds. */
async function compare(
  name: string,
  target: number | undefined,
  ours: () => Promise<unknown>,
  theirs: () => Promise<unknown>,
  times = rounds,
) {
  if (!wants(name)) return;
  await ours();
  await theirs();
  const mine: number[] = [];
  const other: number[] = [];
  for (let round = 0; round < times; round++) {
    mine.push(await time(ours));
    other.push(await time(theirs));
  }
  keep({ name, unit: "ms", ours: median(mine), theirs: median(other), ...(target ? { target } : {}) });
}

function keep(result: Result): void {
  results.push(result);
  const ratio = result.theirs / result.ours;
  const verdict = result.target
    ? ratio >= result.target
      ? ` (target ${result.target}×: met)`
      : ` (target ${result.target}×: NOT met)`
    : "";
  console.log(
    `${result.name.padEnd(44)} ${result.ours.toFixed(1).padStart(9)} ${result.theirs.toFixed(1).padStart(9)} ${result.unit}  ${ratio.toFixed(1)}×${verdict}`,
  );
}

const cycle = (peer: Peer, network: string, image: string) => async () => {
  const { Id } = (await api(peer.socket, "POST", "/containers/create", {
    Image: image,
    Cmd: ["true"],
    HostConfig: { NetworkMode: network },
  })) as { Id: string };
  const exit = api(peer.socket, "POST", `/containers/${Id}/wait?condition=next-exit`);
  await api(peer.socket, "POST", `/containers/${Id}/start`);
  await exit;
  await api(peer.socket, "DELETE", `/containers/${Id}`);
};

/** As `xargs -P 10` has it: whoever is done takes the next. */
async function fifty(peer: Peer, image: string): Promise<number> {
  let left = 50;
  const worker = async () => {
    while (left-- > 0) await must([...peer.cli, "run", "-d", "--label", "bench=1", image, "sleep", "600"]);
  };
  return time(async () => {
    await Promise.all(Array.from({ length: 10 }, worker));
  });
}

async function removeAll(peer: Peer): Promise<void> {
  const ids = (await must([...peer.cli, "ps", "-aq", "--filter", "label=bench=1"]))
    .split("\n")
    .filter(Boolean);
  if (ids.length > 0) await must([...peer.cli, "rm", "-f", ...ids]);
}

async function main(): Promise<void> {
  quiet(["ip", "link", "set", "lo", "up"]);
  const registry = await startRegistry(root);
  const ours = await startCorten(join(root, "ours"), registry);
  const theirs = await startDocker(join(root, "theirs"), registry);
  const { small, large } = await prepareImages(root, registry, theirs);
  for (const peer of [ours, theirs]) await must([...peer.cli, "pull", small]);
  console.log(`${"".padEnd(44)}    corten    docker`);

  await pause(3000);
  const idle = { ours: pss(ours.pids()), theirs: pss(theirs.pids()) };
  keep({ name: "idle daemon, PSS", unit: "MB", ...idle });

  const run =
    (peer: Peer, ...flags: string[]) =>
    () =>
      must([...peer.cli, "run", "--rm", ...flags, small, "true"]);
  await compare("run --rm (bridge)", 8, run(ours), run(theirs));
  await compare(
    "run --rm --network none",
    8,
    run(ours, "--network", "none"),
    run(theirs, "--network", "none"),
  );
  const throughDocker = { ...ours, cli: ["/usr/local/bin/docker", "-H", `unix://${ours.socket}`] };
  await compare("run --rm (bridge), real docker CLI on both", undefined, run(throughDocker), run(theirs));
  await compare(
    "API create+start+wait+remove (bridge)",
    15,
    cycle(ours, "bridge", small),
    cycle(theirs, "bridge", small),
  );
  await compare(
    "API create+start+wait+remove (none)",
    15,
    cycle(ours, "none", small),
    cycle(theirs, "none", small),
  );

  for (const peer of [ours, theirs])
    await must([...peer.cli, "run", "-d", "--name", "target", small, "sleep", "600"]);
  const exec = (peer: Peer) => () => must([...peer.cli, "exec", "target", "true"]);
  await compare("exec", 4, exec(ours), exec(theirs));
  for (const peer of [ours, theirs]) await must([...peer.cli, "rm", "-f", "target"]);

  if (wants("50 detached starts, 10 at a time")) {
    const times = { ours: [] as number[], theirs: [] as number[] };
    const memory = { ours: [] as number[], theirs: [] as number[] };
    for (let round = 0; round < 3; round++)
      for (const [who, peer] of [
        ["ours", ours],
        ["theirs", theirs],
      ] as const) {
        times[who].push(await fifty(peer, small));
        await pause(2000);
        memory[who].push((pss(peer.pids()) - idle[who]) / 50);
        await removeAll(peer);
      }
    const medians = (of: typeof times) => ({ ours: median(of.ours), theirs: median(of.theirs) });
    keep({ name: "50 detached starts, 10 at a time", unit: "ms", ...medians(times), target: 10 });
    keep({ name: "per running container, PSS", unit: "MB", ...medians(memory) });
  }

  const pull = (peer: Peer) => async () => {
    await must([...peer.cli, "pull", "-q", large]);
  };
  if (wants("pull of a 400 MB image")) {
    const mine: number[] = [];
    const other: number[] = [];
    for (let round = 0; round < 3; round++) {
      mine.push(await time(pull(ours)));
      await must([...ours.cli, "rmi", large]);
      other.push(await time(pull(theirs)));
      await must([...theirs.cli, "rmi", large]);
    }
    keep({
      name: "pull of a 400 MB image",
      unit: "ms",
      ours: median(mine),
      theirs: median(other),
      target: 2.5,
    });
  }

  const bundle = await runcBundle();
  let serial = 0;
  const runc = (argv: string[]) => () =>
    must([...argv, "run", "--bundle", bundle, `bench-${process.pid}-${serial++}`]);
  await compare(
    "runc run",
    1,
    runc([corten, "runc", "--root", join(root, "runc-ours")]),
    runc(["/usr/sbin/runc", "--root", join(root, "runc-theirs")]),
  );

  if (wanted.length === 0 || wanted.some((word) => word.startsWith("build")))
    await benchBuilds({ root, ours, theirs, small, compare, wanted: wants });
  if (wanted.length === 0 || wanted.some((word) => word.startsWith("cri")))
    await benchCri({ root, theirs, registry, small, compare, keep, wanted: wants });

  if (wanted.length === 0 || wanted.some((word) => word.startsWith("shim")))
    await benchShims({ root, compare, keep, wanted: wants });

  await ours.stop();
  await theirs.stop();
}

/** A bundle of busybox with the specification the real `runc spec` writes. */
async function runcBundle(): Promise<string> {
  const bundle = join(root, "bundle");
  mkdirSync(join(bundle, "rootfs/bin"), { recursive: true });
  for (const name of ["busybox", "true", "sh"])
    quiet(["cp", "/bin/busybox", join(bundle, "rootfs/bin", name)]);
  await must(["/usr/sbin/runc", "spec", "--bundle", bundle]);
  const path = join(bundle, "config.json");
  const spec = (await Bun.file(path).json()) as {
    process: { args: string[]; terminal: boolean; rlimits?: unknown };
  };
  spec.process.args = ["true"];
  spec.process.terminal = false;
  delete spec.process.rlimits;
  writeFileSync(path, JSON.stringify(spec));
  return bundle;
}

try {
  await main();
  if (process.env["BENCH_JSON"]) writeFileSync(process.env["BENCH_JSON"], JSON.stringify(results, null, 2));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  stopAll();
  quiet(["sh", "-c", `grep -o ' ${root}/[^ ]*' /proc/self/mountinfo | sort -r | xargs -r umount -l`]);
  if (process.env["BENCH_KEEP"] === undefined) rmSync(root, { recursive: true, force: true });
  process.exit();
}
