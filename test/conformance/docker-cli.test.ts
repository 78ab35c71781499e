/** The real docker CLIs, 28 and 20.10, against our daemon: what users type, and what they then see. */
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Engine, type Output, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const clients = { "docker 28": "/usr/local/bin/docker", "docker 20.10": "/usr/bin/docker" };

let engine: Engine;
let registry: TestRegistry;
let scratch: string;
const ready = existsSync(clients["docker 28"]) && Bun.which("docker-registry") !== null;

beforeAll(async () => {
  if (!ready) return;
  scratch = mkdtempSync(join(tmpdir(), "corten-cli-"));
  registry = await startTestRegistry();
  engine = await startEngine();
  const pulled = await run([clients["docker 28"], "-H", engine.host, "pull", registry.busybox]);
  if (pulled.code !== 0) throw new Error(pulled.stderr);
});
afterAll(async () => {
  if (!ready) return;
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

for (const [name, binary] of Object.entries(clients)) {
  const conform = requires(binary, "docker-registry");
  const docker = (...argv: string[]): Promise<Output> => run([binary, "-H", engine.host, ...argv]);
  const feed = (input: string, ...argv: string[]): Promise<Output> =>
    run([binary, "-H", engine.host, ...argv], { input });
  const short = name.replace(/\W/g, "");

  conform(`${name}: run gives output, errors and the exit code apart`, async () => {
    const result = await docker(
      "run",
      "--rm",
      registry.busybox,
      "sh",
      "-c",
      "echo out; echo err >&2; exit 7",
    );
    expect(result).toEqual({ code: 7, stdout: "out\n", stderr: "err\n" });
  });

  conform(`${name}: run passes stdin with its end`, async () => {
    const text = "x".repeat(300_000);
    const result = await feed(text, "run", "--rm", "-i", registry.busybox, "cat");
    expect(result.stdout.length).toBe(text.length);
    expect(result.code).toBe(0);
  });

  conform(`${name}: a command that is not there is 127, one that cannot be run 126`, async () => {
    const missing = await docker("run", "--rm", registry.busybox, "nosuch");
    expect(missing.code).toBe(127);
    expect(missing.stderr).toContain('exec: "nosuch": executable file not found in $PATH: unknown');
    expect((await docker("run", "--rm", registry.busybox, "/etc/passwd")).code).toBe(126);
  });

  conform(`${name}: the life of a container, verb by verb`, async () => {
    const it = `life-${short}`;
    const loop = "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.05; done";
    expect((await docker("run", "-d", "--name", it, registry.busybox, "sh", "-c", loop)).code).toBe(0);
    await until("some lines", async () => (await docker("logs", it)).stdout.includes("line 3"));
    expect((await docker("logs", "--tail", "1", it)).stdout.split("\n")).toHaveLength(2);
    expect((await docker("ps", "--filter", `name=${it}`, "--format", "{{.Status}}")).stdout).toStartWith(
      "Up ",
    );
    expect((await docker("pause", it)).code).toBe(0);
    expect((await docker("ps", "--filter", `name=${it}`, "--format", "{{.Status}}")).stdout).toContain(
      "(Paused)",
    );
    expect((await docker("exec", it, "true")).stderr).toContain(
      "is paused, unpause the container before exec",
    );
    expect((await docker("unpause", it)).code).toBe(0);
    expect((await docker("top", it)).stdout).toContain("while true");
    expect((await docker("rename", it, `${it}-2`)).code).toBe(0);
    expect((await docker("restart", "-t", "0", `${it}-2`)).code).toBe(0);
    expect((await docker("rm", `${it}-2`)).stderr).toContain(
      "stop the container before removing or force remove",
    );
    expect((await docker("stop", "-t", "0", `${it}-2`)).code).toBe(0);
    expect((await docker("wait", `${it}-2`)).stdout).toBe("137\n");
    expect((await docker("start", `${it}-2`)).code).toBe(0);
    expect((await docker("kill", `${it}-2`)).code).toBe(0);
    expect((await docker("rm", "-f", `${it}-2`)).code).toBe(0);
    expect((await docker("inspect", `${it}-2`)).code).toBe(1);
  });

  conform(`${name}: exec has its own streams, user, directory and code`, async () => {
    const it = `exec-${short}`;
    await docker("run", "-d", "--name", it, registry.busybox, "sleep", "100");
    expect(await docker("exec", it, "sh", "-c", "echo o; echo e >&2; exit 5")).toEqual({
      code: 5,
      stdout: "o\n",
      stderr: "e\n",
    });
    expect((await feed("in", "exec", "-i", it, "cat")).stdout).toBe("in");
    expect(
      (
        await docker(
          "exec",
          "-u",
          "www-data",
          "-w",
          "/tmp",
          "-e",
          "A=b",
          it,
          "sh",
          "-c",
          "id -u; pwd; echo $A",
        )
      ).stdout,
    ).toBe("33\n/tmp\nb\n");
    const missing = await docker("exec", it, "nosuch");
    expect(missing.code).toBe(127);
    expect(missing.stdout + missing.stderr).toContain("executable file not found in $PATH");
    await docker("rm", "-f", it);
  });

  conform(`${name}: every line of a quick process is there, whatever its size`, async () => {
    const lines = 20_000;
    const result = await docker("run", "--rm", registry.busybox, "seq", "1", String(lines));
    expect(result.stdout.split("\n").length).toBe(lines + 1);
  });

  conform(`${name}: a terminal is a terminal`, async () => {
    // CI has no terminal of its own; script(1) makes one for the client. The older client tells its size after the start.
    const result = await run([
      "script",
      "-qec",
      `stty rows 33 cols 99; ${binary} -H ${engine.host} run --rm -it ${registry.busybox} sh -c 'tty; until stty size | grep "33 99"; do sleep 0.1; done'`,
      "/dev/null",
    ]);
    expect(result.stdout).toContain("/dev/pts/0");
    expect(result.stdout).toContain("33 99");
  });

  conform(`${name}: volumes keep, take over what the image has, and go`, async () => {
    const volume = `vol-${short}`;
    const seen = await docker(
      "run",
      "--rm",
      "-v",
      `${volume}:/etc`,
      registry.busybox,
      "sh",
      "-c",
      "touch /etc/new; cat /etc/group",
    );
    expect(seen.stdout).toContain("staff:x:50:nobody");
    const again = await docker(
      "run",
      "--rm",
      "-v",
      `${volume}:/x:ro`,
      registry.busybox,
      "sh",
      "-c",
      "ls /x; touch /x/y",
    );
    expect(again.stdout).toContain("new\n");
    expect(again.stderr).toContain("Read-only file system");
    const before = (await docker("volume", "ls", "-q")).stdout;
    await docker("run", "--rm", "-v", "/anonymous", registry.busybox, "true");
    expect((await docker("volume", "ls", "-q")).stdout).toBe(before);
    await docker("create", "--name", `uses-${short}`, "-v", `${volume}:/x`, registry.busybox, "true");
    expect((await docker("volume", "rm", volume)).stderr).toContain("volume is in use");
    await docker("rm", `uses-${short}`);
    expect((await docker("volume", "rm", volume)).code).toBe(0);
  });

  conform(`${name}: binds are made by -v and asked for by --mount`, async () => {
    const made = join(scratch, `made-${short}`);
    await docker("run", "--rm", "-v", `${made}:/m`, registry.busybox, "sh", "-c", "echo x > /m/file");
    expect(readFileSync(join(made, "file"), "utf8")).toBe("x\n");
    const refused = await docker(
      "run",
      "--rm",
      "--mount",
      `type=bind,source=${scratch}/none,target=/m`,
      registry.busybox,
      "true",
    );
    expect(refused.code).toBe(125);
    expect(refused.stderr).toContain(`bind source path does not exist: ${scratch}/none`);
  });

  conform(`${name}: cp in before the start, and out`, async () => {
    const it = `cp-${short}`;
    writeFileSync(join(scratch, "in"), "carried\n");
    await docker("create", "--name", it, registry.busybox, "cat", "/carried");
    expect((await docker("cp", join(scratch, "in"), `${it}:/carried`)).code).toBe(0);
    expect((await docker("cp", join(scratch, "in"), `${it}:/tmp/`)).code).toBe(0);
    expect((await docker("start", "-a", it)).stdout).toBe("carried\n");
    expect((await docker("cp", `${it}:/tmp/in`, "-")).stdout).toContain("carried\n");
    expect((await docker("cp", `${it}:/carried`, join(scratch, `out-${short}`))).code).toBe(0);
    expect(readFileSync(join(scratch, `out-${short}`), "utf8")).toBe("carried\n");
    expect((await docker("cp", `${it}:/nosuch`, scratch)).stderr).toContain(
      // The older client has its own words for a 404.
      name === "docker 28" ? "Could not find the file /nosuch in container" : "No such container:path",
    );
    await docker("rm", it);
  });

  conform(`${name}: logs follow to the end and across rotation`, async () => {
    const it = `logs-${short}`;
    const options = ["--log-opt", "max-size=4k", "--log-opt", "max-file=100"];
    await docker(
      "run",
      "-d",
      "--name",
      it,
      ...options,
      registry.busybox,
      "sh",
      "-c",
      "for i in $(seq 1 400); do echo number $i; done; sleep 0.3; echo last",
    );
    const followed = await docker("logs", "-f", it);
    expect(followed.stdout.split("\n").filter(Boolean)).toHaveLength(401);
    expect(followed.stdout).toEndWith("number 400\nlast\n");
    await docker("rm", it);
  });

  conform(`${name}: images are tagged, listed, pushed, pulled and removed`, async () => {
    const tag = `${registry.address}/again:${short}`;
    expect((await docker("tag", registry.busybox, tag)).code).toBe(0);
    expect((await docker("push", tag)).stdout).toContain(`${short}: digest: sha256:`);
    expect((await docker("rmi", tag)).stdout).toContain(`Untagged: ${tag}`);
    expect((await docker("run", "--rm", tag, "echo", "pulled")).stdout).toBe("pulled\n");
    expect((await docker("images", "--format", "{{.Repository}}:{{.Tag}}")).stdout.split("\n")).toContain(
      tag,
    );
    expect((await docker("rmi", tag)).code).toBe(0);
    expect((await docker("pull", `${registry.address}/nosuch`)).stderr).toContain("not found");
  });

  conform(`${name}: errors have Docker's texts`, async () => {
    expect((await docker("start", "nosuch")).stderr).toContain("No such container: nosuch");
    expect((await docker("run", "--rm", "--user", "nosuch", registry.busybox, "id")).stderr).toContain(
      "unable to find user nosuch: no matching entries in passwd file",
    );
    await docker("create", "--name", `dup-${short}`, registry.busybox, "true");
    expect((await docker("create", "--name", `dup-${short}`, registry.busybox, "true")).stderr).toContain(
      `Conflict. The container name "/dup-${short}" is already in use by container`,
    );
    expect((await docker("kill", `dup-${short}`)).stderr).toContain("is not running");
    await docker("rm", `dup-${short}`);
    expect((await docker("run", "--rm", "--memory", "1m", registry.busybox, "true")).stderr).toContain(
      "Minimum memory limit allowed is 6MB",
    );
  });

  conform(`${name}: a restart policy counts, and unless-stopped stays stopped`, async () => {
    const it = `policy-${short}`;
    await docker(
      "run",
      "-d",
      "--name",
      it,
      "--restart",
      "on-failure:2",
      registry.busybox,
      "sh",
      "-c",
      "exit 3",
    );
    const state = async () =>
      (
        await docker("inspect", it, "--format", "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}")
      ).stdout.trim();
    await until("the last attempt", async () => (await state()) === "exited 2 3");
    await docker("rm", it);
  });
}

requires(clients["docker 28"], "docker-registry")("nothing of a removed container is left", async () => {
  const docker = (...argv: string[]) => run([clients["docker 28"], "-H", engine.host, ...argv]);
  const ids = (await docker("ps", "-aq")).stdout.split("\n").filter(Boolean);
  if (ids.length > 0) await docker("rm", "-f", ...ids);
  for (const folder of ["lib/containers", "run/containers"]) {
    const path = join(engine.root, folder);
    expect(existsSync(path) ? readdirSync(path) : []).toEqual([]);
  }
});
