/** Every box swapped for the real one: foreign runtimes and a foreign containerd under our dockerd. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answers, type Engine, leftovers, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
});
afterAll(() => registry[Symbol.asyncDispose]());

async function must(engine: Engine, ...argv: string[]): Promise<string> {
  const result = await engine.docker(...argv);
  if (result.code !== 0)
    throw new Error(
      `docker ${argv.join(" ")}: ${result.code} ${result.stderr}\n${engine.log().slice(-6000)}`,
    );
  return result.stdout;
}

/** The main job through the real docker CLI: run, status, detached, exec, logs, stop, remove. */
async function mainJob(engine: Engine, ...flags: string[]): Promise<void> {
  await must(engine, "pull", registry.busybox);
  expect(await must(engine, "run", "--rm", ...flags, registry.busybox, "echo", "hello")).toBe("hello\n");
  expect((await engine.docker("run", "--rm", ...flags, registry.busybox, "sh", "-c", "exit 42")).code).toBe(
    42,
  );
  await must(
    engine,
    "run",
    "-d",
    "--name",
    "job",
    ...flags,
    registry.busybox,
    "sh",
    "-c",
    "trap 'exit 5' TERM; echo logged; while :; do sleep 0.1; done",
  );
  expect(await must(engine, "exec", "job", "echo", "from exec")).toBe("from exec\n");
  await until("the line to be logged", async () => (await must(engine, "logs", "job")) === "logged\n");
  await must(engine, "stop", "-t", "60", "job");
  expect(await must(engine, "inspect", "-f", "{{.State.ExitCode}}", "job")).toBe("5\n");
  await must(engine, "rm", "job");
}

const wrapper = (directory: string, name: string, command: string) => {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
  return path;
};

/** crun refuses a hybrid machine whose cgroup2 has any controller; here hugetlb, which nobody mounted as v1, is one. */
const crunRefuses = (() => {
  try {
    return readFileSync("/sys/fs/cgroup/unified/cgroup.controllers", "utf8").trim() !== "";
  } catch {
    return false;
  }
})();

for (const runtime of ["runc", "crun"]) {
  const program = Bun.which(runtime, { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" }) ?? `/usr/bin/${runtime}`;
  const which = runtime === "crun" && crunRefuses ? test.skip : requires(program);
  const why = which === test.skip ? " [crun itself refuses: cgroup2 has controllers beside v1]" : "";
  which(`docker run --runtime ${runtime}: the real ${runtime} under our dockerd${why}`, async () => {
    await using engine = await startEngine(["--add-runtime", `real=${program}`]);
    await mainJob(engine, "--runtime", "real", "--network", "none");
  });
}

requires("runsc")("docker run --runtime runsc: gVisor under our dockerd", async () => {
  const directory = mkdtempSync(join(tmpdir(), "corten-runsc-"));
  try {
    // The machine has no KVM for guests; gVisor's ptrace platform needs nothing. Debian's gVisor takes every network
    // namespace of a newer kernel for the host's (it looks for a sysctl that once existed only there).
    const program = wrapper(
      directory,
      "runsc",
      "/usr/bin/runsc --platform=ptrace --ignore-cgroups --network=none",
    );
    await using engine = await startEngine(["--add-runtime", `runsc=${program}`]);
    await must(engine, "pull", registry.busybox);
    const kernel = await must(
      engine,
      "run",
      "--rm",
      "--runtime",
      "runsc",
      "--network",
      "none",
      registry.busybox,
      "dmesg",
    );
    expect(kernel).toContain("gVisor");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("a runtime that is missing, too old or broken is told of by name and reason", async () => {
  const directory = mkdtempSync(join(tmpdir(), "corten-runtimes-"));
  try {
    const old = wrapper(
      directory,
      "old",
      "sh -c 'case $1 in --version) echo runc version 0.1.1;; *) exit 1;; esac' sh",
    );
    const broken = wrapper(directory, "broken", "false");
    await using engine = await startEngine([
      ...[
        "--add-runtime",
        "gone=no-such-runtime",
        "--add-runtime",
        `old=${old}`,
        "--add-runtime",
        `broken=${broken}`,
      ],
    ]);
    await must(engine, "pull", registry.busybox);
    const error = async (runtime: string) => {
      const flags = ["run", "--rm", "--network", "none", "--runtime", runtime, registry.busybox, "true"];
      return (await engine.docker(...flags)).stderr;
    };
    expect(await error("gone")).toMatch(
      /exec: "no-such-runtime": executable file not found in \$PATH \(looked in \//,
    );
    expect(await error("old")).toContain("runc 0.1.1 is too old: 1.0.0 is needed");
    expect(await error("broken")).toContain(broken);
    expect(await error("nothing")).toContain("unknown or invalid runtime name: nothing");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

/** A build whose steps are the other containerd's tasks, and whose layers go through its content and diff services. */
async function buildJob(engine: Engine, root: string): Promise<void> {
  const context = join(root, "context");
  mkdirSync(context);
  writeFileSync(join(context, "file"), "copied\n");
  writeFileSync(
    join(context, "Dockerfile"),
    `FROM ${registry.busybox} AS first\nRUN --mount=type=cache,target=/c echo made | tee /c/x > /made && echo said\nFROM ${registry.busybox}\nCOPY --from=first /made /\nCOPY file /\nCMD cat /made /file\n`,
  );
  const built = await engine.corten("build", "--progress=plain", "-t", "swapped", context);
  expect(built.stderr).toContain(" said\n");
  expect(built.code).toBe(0);
  expect((await engine.corten("build", "--progress=plain", "-t", "swapped", context)).stderr).toMatch(
    /CACHED/,
  );
  expect(await must(engine, "run", "--rm", "--network", "none", "swapped")).toBe("made\ncopied\n");
}

requires("/usr/bin/containerd")("our dockerd on the real containerd", async () => {
  const root = mkdtempSync(join(tmpdir(), "corten-containerd-"));
  const address = join(root, "containerd.sock");
  mkdirSync(join(root, "state"));
  writeFileSync(join(root, "config.toml"), 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
  const containerd = spawn(
    "/usr/bin/containerd",
    [
      "--config",
      join(root, "config.toml"),
      "--root",
      join(root, "root"),
      "--state",
      join(root, "state"),
      "--address",
      address,
    ],
    { stdio: "ignore" },
  );
  try {
    await until("the real containerd", () => answers(address));
    await using engine = await startEngine(["--containerd", address]);
    await mainJob(engine, "--network", "none");
    const seen = await run(["ctr", "-a", address, "-n", "moby", "images", "ls", "-q"]);
    expect(seen.stdout).toContain(registry.busybox);
    await buildJob(engine, root);
    // The shim passes output on after it has told of the end; who is told by us finds it in the log.
    for (let round = 0; round < 3; round++) {
      const argv = ["run", "-d", "--network", "none", registry.busybox, "seq", "1", "60000"];
      const id = (await must(engine, ...argv)).trim();
      await fetch(`http://x/containers/${id}/wait`, { unix: engine.socket, method: "POST" }).then((ended) =>
        ended.text(),
      );
      expect(await must(engine, "logs", "--tail", "1", id)).toBe("60000\n");
    }
  } finally {
    containerd.kill("SIGTERM");
    await new Promise((done) => containerd.once("exit", done));
    // A shim is told of its container's removal, and ends by itself.
    await until("the end of shims", () => leftovers(root).length === 0, 60).catch(() => {});
    expect(leftovers(root)).toEqual([]);
    rmSync(root, { recursive: true, force: true });
  }
});
