/** `corten build` on our daemon near and far, on a terminal, interrupted, and on a real dockerd 20.10. */
import { afterAll, beforeAll, expect } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { answers, corten, type Engine, type Output, run, startEngine, until } from "../helpers/engine.ts";
import { freePort, startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";
import { onTerminal } from "../helpers/terminal.ts";

const ready = Bun.which("docker-registry") !== null && Bun.which("skopeo") !== null;
const conform = requires("docker-registry", "skopeo", "tar");

let engine: Engine;
let registry: TestRegistry;
let scratch: string;
let remote: string;
let agent: Server;

beforeAll(async () => {
  if (!ready) return;
  scratch = mkdtempSync(join(tmpdir(), "corten-build-cli-"));
  chmodSync(scratch, 0o755);
  registry = await startTestRegistry();
  remote = `tcp://127.0.0.1:${await freePort()}`;
  engine = await startEngine(["-H", remote]);
  agent = createServer((socket) => socket.end("agent\n"));
  await new Promise<void>((done) => agent.listen(join(scratch, "agent.sock"), done));
});
afterAll(async () => {
  if (!ready) return;
  agent?.close();
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

function context(name: string, files: Record<string, string>): string {
  const directory = join(scratch, name);
  mkdirSync(directory, { recursive: true });
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text.replaceAll("BUSYBOX", registry.busybox));
  }
  return directory;
}

type Options = Parameters<typeof run>[1];
const build = (host: string, argv: string[], options: Options = {}): Promise<Output> =>
  run([...corten, "-H", host, "build", ...argv], options);

conform(
  "a local output with mode=delete is all that is left, also after a build that fails before it",
  async () => {
    const directory = context("mirrored", {
      Dockerfile: "FROM scratch\nCOPY new /d/new\nCOPY new /top\n",
      new: "new",
    });
    const out = join(scratch, "mirrored-out");
    mkdirSync(join(out, "d/old"), { recursive: true });
    writeFileSync(join(out, "d/old/file"), "old");
    writeFileSync(join(out, "top"), "old");
    symlinkSync(scratch, join(out, "link"));
    const before = statSync(out).ino;
    const flags = ["-o", `type=local,dest=${out},mode=delete`];
    const refused = await build(engine.host, [...flags, directory]);
    expect(refused.stderr).toContain("requires --allow=buildx.local.delete");
    writeFileSync(join(directory, "Dockerfile.bad"), "FROM scratch\nCOPY nothing /\n");
    const allowed = [...flags, "--allow", "buildx.local.delete"];
    const failed = await build(engine.host, [...allowed, "-f", join(directory, "Dockerfile.bad"), directory]);
    expect(failed.code).toBe(1);
    expect(readdirSync(out).sort()).toEqual(["d", "link", "top"]);
    for (const argv of [
      [...allowed, directory],
      ["-o", "type=local,dest=mirrored-out,mode=delete", directory],
    ]) {
      writeFileSync(join(out, "stale"), "stale");
      const built = await build(engine.host, argv, { cwd: scratch });
      expect(`${built.code} ${built.stderr}`).toMatch(/^0 /);
      expect(readdirSync(out).sort()).toEqual(["d", "top"]);
      expect(readdirSync(join(out, "d"))).toEqual(["new"]);
      expect(readFileSync(join(out, "top"), "utf8")).toBe("new");
    }
    expect(statSync(out).ino).toBe(before);
    expect(existsSync(directory)).toBe(true);
  },
);

conform(
  "a directory, a tar and a Dockerfile go to a daemon that cannot see them; results come back",
  async () => {
    const directory = context("far", {
      "d/My.Dockerfile":
        "FROM BUSYBOX\nCOPY . /all\nRUN --mount=type=secret,id=s cp /run/secrets/s /secret && find /all | sort > /list\n",
      "d/My.Dockerfile.dockerignore": "skipped\n",
      ".dockerignore": "kept\n",
      kept: "kept",
      skipped: "skipped",
      "odd \t name": "odd",
      secret: "hidden value\n",
    });
    symlinkSync("kept", join(directory, "link"));
    for (const host of [engine.host, remote]) {
      const out = join(scratch, `out-${host === remote}`);
      const built = await build(host, [
        ...["--progress=plain", "-f", join(directory, "d/My.Dockerfile"), "-o", out],
        ...["--secret", `id=s,src=${join(directory, "secret")}`, directory],
      ]);
      expect(`${built.code} ${built.stderr}`).toMatch(/^0 /);
      expect(built.stderr).not.toContain("hidden value");
      expect(built.stdout).toBe("");
      const list = readFileSync(join(out, "list"), "utf8");
      for (const name of ["/all/kept", "/all/link", "/all/d/My.Dockerfile", "/all/odd \t name"])
        expect([name, list.includes(`${name}\n`)]).toEqual([name, true]);
      expect(list).not.toContain("skipped\n");
      expect(readFileSync(join(out, "secret"), "utf8")).toBe("hidden value\n");
    }
    for (const host of [engine.host, remote]) {
      const tar = Bun.spawnSync(["tar", "-C", directory, "-czf", "-", "."]).stdout;
      const archive = join(scratch, "context.tgz");
      writeFileSync(archive, tar);
      const command = [
        ...corten,
        "-H",
        host,
        "build",
        "-f",
        "d/My.Dockerfile",
        "--secret",
        `id=s,src=${archive}`,
      ];
      const shell = `exec "$@" -q --build-context other=${directory} - < ${archive}`;
      const built = await run(["sh", "-c", shell, "sh", ...command]);
      expect(built.stderr).toBe("");
      expect(built.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
      const piped = await build(host, ["-q", "-"], { input: `FROM ${registry.busybox}\nRUN echo piped\n` });
      expect(piped.stdout).toMatch(/^sha256:/);
      const inline = await build(host, ["-q", "-f", "-", directory], {
        input: `FROM ${registry.busybox}\nCOPY skipped /\n`,
      });
      expect(inline.stdout).toMatch(/^sha256:/);
    }
  },
);

conform("of a Dockerfile's own directory nothing else is sent", async () => {
  const directory = context("elsewhere", {
    "files/f": "f",
    "docker/Dockerfile": "FROM BUSYBOX\nCOPY f /f\n",
    "docker/huge": "",
    "docker/unreadable": "x",
  });
  // Nobody could send that before the time for a command is over.
  await run(["truncate", "-s", "1T", join(directory, "docker/huge")]);
  const built = await build(remote, [
    "-q",
    "-f",
    join(directory, "docker/Dockerfile"),
    join(directory, "files"),
  ]);
  expect(built).toMatchObject({ code: 0, stderr: "" });
});

conform("what was made belongs to who asked for it", async () => {
  const directory = context("owners", {
    Dockerfile: "FROM scratch\nCOPY --chown=12:34 --chmod=750 f /sub/f\n",
    f: "f",
  });
  const out = join(scratch, "owned");
  mkdirSync(out);
  chownSync(out, 4321, 4321);
  const home = join(scratch, "home");
  mkdirSync(home);
  chownSync(home, 4321, 4321);
  const built = await run(
    [
      "setpriv",
      "--reuid=4321",
      "--regid=4321",
      "--clear-groups",
      ...corten,
      "-H",
      remote,
      "build",
      "-o",
      `type=local,dest=${out}`,
      directory,
    ],
    { env: { HOME: home } },
  );
  expect(`${built.code} ${built.stderr}`).toMatch(/^0 /);
  const { uid, gid, mode } = statSync(join(out, "sub/f"));
  expect([uid, gid, mode & 0o777]).toEqual([4321, 4321, 0o750]);
  const again = await build(remote, ["-o", `type=tar,dest=${scratch}/t.tar`, directory]);
  expect(again.code).toBe(0);
  expect((await run(["tar", "--numeric-owner", "-tvf", `${scratch}/t.tar`])).stdout).toMatch(
    /-rwxr-x--- 12\/34 .* sub\/f\n/,
  );
});

conform("archives to files and pipes, layouts to directories, ids and metadata to files", async () => {
  const directory = context("outputs", { Dockerfile: "FROM BUSYBOX\nLABEL a=b\n" });
  const at = (name: string) => join(scratch, name);
  writeFileSync(at("iid"), "an old one");
  const broken = await build(remote, ["--iidfile", at("iid"), "-f", "Nope", directory]);
  expect(broken.code).toBe(1);
  expect(broken.stderr).toEndWith(
    "ERROR: failed to build: failed to solve: failed to read dockerfile: open Nope: no such file or directory\n",
  );
  expect(existsSync(at("iid"))).toBe(false);
  const built = await build(remote, [
    ...[
      "-t",
      "outputs:1",
      "--iidfile",
      at("iid"),
      "--metadata-file",
      at("meta.json"),
      "-o",
      `type=oci,dest=${at("x/oci.tar")}`,
    ],
    ...[
      "-o",
      `type=oci,tar=false,dest=${at("layout")}`,
      "-o",
      `type=docker,dest=${at("docker.tar")}`,
      "--load",
      directory,
    ],
  ]);
  expect(`${built.code} ${built.stderr}`).toMatch(/^0 /);
  expect(readFileSync(at("iid"), "utf8")).toMatch(/^sha256:[0-9a-f]{64}$/);
  const metadata = JSON.parse(readFileSync(at("meta.json"), "utf8"));
  expect(metadata["containerimage.digest"]).toMatch(/^sha256:/);
  expect(metadata["containerimage.descriptor"]).toMatchObject({ mediaType: expect.any(String) });
  expect(readdirSync(at("layout")).sort()).toContain("index.json");
  expect((await run(["skopeo", "inspect", `oci-archive:${at("x/oci.tar")}`])).stdout).toContain('"a": "b"');
  expect((await run(["skopeo", "inspect", `docker-archive:${at("docker.tar")}`])).stdout).toContain(
    '"a": "b"',
  );
  expect((await engine.docker("image", "inspect", "-f", "{{.Config.Labels.a}}", "outputs:1")).stdout).toBe(
    "b\n",
  );
  const piped = await run([
    "sh",
    "-c",
    '"$@" | tar -t | grep -c bin/busybox',
    "sh",
    ...corten,
    "-H",
    remote,
    "build",
    "-q",
    "-o",
    "-",
    directory,
  ]);
  expect(Number(piped.stdout)).toBeGreaterThan(0);
  expect(readdirSync(scratch).filter((name) => name.endsWith(".part"))).toEqual([]);
});

conform(
  "what a daemon far away must not do: read paths, use agents and caches of its own machine",
  async () => {
    const directory = context("trust", {
      Dockerfile: "FROM BUSYBOX\nRUN --mount=type=ssh true\nCOPY f /f\n",
      f: "f",
    });
    const agent = `default=${join(scratch, "agent.sock")}`;
    const far = await build(remote, ["--ssh", agent, directory]);
    expect(far.code).toBe(1);
    expect(far.stderr).toContain("--ssh needs a daemon on the same machine");
    expect((await build(engine.host, ["--ssh", agent, directory])).code).toBe(0);
    // A path of ours over TCP is never one of the daemon's, whoever says that it is.
    const { dev, ino } = statSync("/etc", { bigint: true });
    const socket = connect(Number(remote.split(":").at(-1)), "127.0.0.1");
    const asked = JSON.stringify({
      id: "remote",
      contexts: [{ name: "context", path: "/etc", device: `${dev}`, inode: `${ino}` }],
      dockerfile: Buffer.from("FROM scratch\nCOPY passwd /\n").toString("base64"),
      outputs: [{ type: "tar", attributes: {}, stream: true }],
    });
    socket.write(
      `POST /corten/build HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(asked)}\r\n\r\n${asked}`,
    );
    let answer = Buffer.alloc(0);
    // The first frame asks for the content of context 0; nothing of /etc is ever sent.
    await new Promise<void>((done) => {
      socket.on("data", (data) => {
        answer = Buffer.concat([answer, Buffer.from(data as Uint8Array)]);
        if (answer.includes(Buffer.from([5, 0, 0, 0, 0, 0]))) done();
      });
      socket.on("close", () => done());
    });
    socket.destroy();
    expect(answer.includes(Buffer.from([5, 0, 0, 0, 0, 0]))).toBe(true);
    expect(answer.includes("root:")).toBe(false);
    const cache = await build(remote, ["--cache-to", `type=local,dest=${scratch}/cache`, directory]);
    expect(cache.stderr).toContain("a local cache needs a daemon on the same machine");
    expect(existsSync(`${scratch}/cache`)).toBe(false);
    expect(readdirSync(join(engine.root, "run")).filter((name) => name.endsWith(".sock"))).toEqual([]);
    const agents = join(engine.root, "run/agents");
    expect(statSync(agents).mode & 0o777).toBe(0o700);
    expect(readdirSync(agents)).toEqual([]);
  },
);

conform("secrets are in no progress, log, cache or image", async () => {
  const directory = context("secrets", {
    Dockerfile: 'FROM BUSYBOX\nRUN --mount=type=secret,id=token,env=TOKEN test -n "$TOKEN" && exit 7\n',
  });
  const token = "tokenvalue0123456789";
  const argv = ["--progress=rawjson", "--secret", "id=token,env=SECRET_TOKEN", directory];
  const failed = await run([...corten, "--debug", "-H", engine.host, "build", ...argv], {
    env: { SECRET_TOKEN: token },
  });
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain("exit code: 7");
  expect(failed.stderr).not.toContain(token);
  const encoded = Buffer.from(token).toString("base64").replace(/=+$/, "");
  expect(failed.stderr).not.toContain(encoded);
  expect(engine.log()).not.toContain(token);
  // A variable is part of the container that containerd keeps while the step runs, in a file of root's alone.
  const database = join(engine.root, "lib/containerd/meta.db");
  expect(statSync(database).mode & 0o077).toBe(0);
  const found = await run(["grep", "-rlaE", `${token}|${encoded}`, engine.root]);
  expect(found.stdout.split("\n").filter((path) => path !== "" && !path.startsWith(database))).toEqual([]);
});

conform("progress of all kinds, and what -q says", async () => {
  const directory = context("progress", {
    Dockerfile: 'FROM BUSYBOX\nRUN printf "a\\377b\\n"; echo two >&2\n',
  });
  const plain = await run([
    "sh",
    "-c",
    '"$@" 2>&1 >/dev/null | od -c | grep -c 377',
    "sh",
    ...corten,
    "-H",
    engine.host,
    "build",
    "--no-cache",
    "--progress=plain",
    directory,
  ]);
  expect(plain.stdout).toBe("1\n");
  const raw = await build(engine.host, ["--progress=rawjson", directory]);
  for (const line of raw.stderr.trimEnd().split("\n"))
    expect(Object.keys(JSON.parse(line)).length).toBeGreaterThan(0);
  const byEnvironment = await build(engine.host, [directory], { env: { BUILDKIT_PROGRESS: "rawjson" } });
  expect(byEnvironment.stderr).toStartWith('{"vertexes"');
  const none = await build(engine.host, ["--progress=none", directory]);
  expect(none).toMatchObject({ code: 0, stdout: "", stderr: "" });
  expect((await build(engine.host, ["--progress=quiet", directory])).stdout).toMatch(/^sha256:/);
  const both = await build(engine.host, ["-q", "--progress=plain", directory]);
  expect(both).toMatchObject({
    code: 1,
    stderr: "ERROR: progress=plain and quiet cannot be used together\n",
  });
  expect((await build(engine.host, ["--progress=odd", directory])).stderr).toBe(
    "ERROR: invalid progress mode odd\n",
  );
  expect((await build(engine.host, ["--progress=tty", directory])).stderr).toMatch(
    /^ERROR: failed to get console/,
  );
});

conform("questions are answered on stdout; a check that found something is a failure", async () => {
  const directory = context("call", { Dockerfile: "FROM scratch AS one\nMAINTAINER me\n" });
  const check = await build(engine.host, ["--check", directory]);
  expect(check.code).toBe(1);
  expect(check.stdout).toStartWith(
    "Check complete, 1 warning has been found!\n\nWARNING: MaintainerDeprecated",
  );
  const json = await build(engine.host, ["--call=check,format=json,ignorestatus=true", directory]);
  expect(json.code).toBe(0);
  expect(JSON.parse(json.stdout).warnings[0].ruleName).toBe("MaintainerDeprecated");
  expect((await build(engine.host, ["--call=targets", directory])).stdout).toBe(
    "TARGET        DESCRIPTION\none (default) \n",
  );
  const broken = context("call-broken", { Dockerfile: "FROM scratch\nNOPE\n" });
  const failed = await build(engine.host, ["--check", broken]);
  expect(failed.code).toBe(1);
  expect(failed.stdout).toBe("");
  expect(failed.stderr).toMatch(/ERROR: dockerfile parse error[\s\S]*>>> NOPE/);
});

const running = (marker: string) => async () =>
  (
    await run(["sh", "-c", `grep -la ${marker} /proc/[0-9]*/cmdline 2>/dev/null | grep -v self || true`])
  ).stdout
    .split("\n")
    .filter((path) => path !== "" && isOf(path, marker)).length;
function isOf(path: string, marker: string): boolean {
  try {
    return readFileSync(path, "latin1").startsWith(`sleep\0${marker}`);
  } catch {
    return false;
  }
}

conform(
  "Ctrl-C on a terminal ends the build with 130, tells what was cancelled, and leaves nothing",
  async () => {
    const directory = context("interrupt", { Dockerfile: "FROM BUSYBOX\nRUN echo begun; sleep 8642\n" });
    for (const host of [engine.host, remote]) {
      await using terminal = onTerminal(
        ["setsid", "--ctty", "--wait", ...corten, "-H", host, "build", "--no-cache", directory],
        {
          columns: 80,
          rows: 24,
        },
      );
      await terminal.waitFor("=> => # begun");
      terminal.type("\x03");
      expect(await terminal.exited).toBe(130);
      const text = terminal.screen.text();
      expect(text).toContain("=> CANCELED [2/2] RUN echo begun; sleep 8642");
      expect(text).toContain("ERROR: failed to build: failed to solve: Canceled: context canceled");
      expect(
        terminal.raw.endsWith("\x1b[?25h") ||
          terminal.raw.lastIndexOf("\x1b[?25h") > terminal.raw.lastIndexOf("\x1b[?25l"),
      ).toBe(true);
      await until("the step to be gone", async () => (await running("8642")()) === 0);
    }
  },
);

conform("a build on a terminal is drawn in place, to the end", async () => {
  const directory = context("terminal", {
    Dockerfile: `FROM BUSYBOX AS base\n${Array.from({ length: 30 }, (_, n) => `RUN echo step ${n} ${"x".repeat(90)}`).join("\n")}\n`,
  });
  await using terminal = onTerminal([...corten, "-H", engine.host, "build", directory], {
    columns: 70,
    rows: 16,
  });
  expect(await terminal.exited).toBe(0);
  const lines = terminal.screen.text().split("\n");
  expect(lines.filter((line) => line.includes("[+] Building"))).toHaveLength(1);
  expect(lines[0]).toMatch(/^\[\+\] Building \d+\.\ds \(\d+\/\d+\) FINISHED +docker:default$/);
  expect(lines.filter((line) => /^ => \[ ?\d+\/31\] RUN echo step/.test(line))).toHaveLength(30);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(70);
});

requires(
  "/usr/sbin/dockerd",
  "/usr/bin/docker",
  "docker-registry",
)(
  "on a real dockerd 20.10 the classic builder is asked; BuildKit's plain progress there has the same words as ours",
  async () => {
    const root = join(scratch, "dockerd");
    const socket = join(root, "docker.sock");
    mkdirSync(root);
    const flags = ["--data-root", `${root}/root`, "--exec-root", `${root}/exec`, "-H", `unix://${socket}`];
    const more = [
      "--pidfile",
      `${root}/pid`,
      "--bridge",
      "none",
      "--iptables=false",
      "--storage-driver",
      "vfs",
    ];
    const daemon: ChildProcess = spawn("/usr/sbin/dockerd", [...flags, ...more], { stdio: "ignore" });
    try {
      await until("dockerd", async () => existsSync(socket) && (await answers(socket)));
      const host = `unix://${socket}`;
      const directory = context("classic", {
        Dockerfile: "FROM BUSYBOX\nARG A=1\nCOPY f /f\nRUN echo run $A; sleep 1; echo err >&2\nLABEL x=y\n",
        "else/D": "FROM BUSYBOX\nCOPY f /g\n",
        f: "f",
      });
      const none = ["--network", "none"];
      const classic = await build(host, [
        ...none,
        "--iidfile",
        join(scratch, "classic-id"),
        "-t",
        "c:1",
        directory,
      ]);
      expect(classic.stderr).toBe("");
      expect(classic.stdout).toMatch(/^Step 1\/5 : FROM [\s\S]*Successfully tagged c:1\n$/);
      expect(classic.code).toBe(0);
      expect(readFileSync(join(scratch, "classic-id"), "utf8")).toMatch(/^sha256:/);
      for (const argv of [
        ["-f", join(directory, "else/D"), directory],
        ["-f", join(scratch, "classic/else/D"), join(scratch, "far")],
      ])
        expect((await build(host, [...none, "-q", ...argv])).code).toBe(argv[2] === directory ? 0 : 1);
      expect(
        (
          await build(host, [...none, "-q", "-f", "-", directory], {
            input: `FROM ${registry.busybox}\nCOPY f /h\n`,
          })
        ).stdout,
      ).toMatch(/^sha256:/);
      expect(
        (await build(host, [...none, "-q", "-"], { input: `FROM ${registry.busybox}\nRUN true\n` })).stdout,
      ).toMatch(/^sha256:/);
      const refused = await build(host, ["--secret", `id=a,src=${directory}/f`, directory]);
      expect(refused.stderr).toMatch(/is not Corten's: --secret needs one/);
      const failing = await build(host, [...none, "-f", "-", directory], {
        input: `FROM ${registry.busybox}\nRUN exit 9\n`,
      });
      expect(failing.code).toBe(9);

      const theirs = await run(
        ["/usr/bin/docker", "-H", host, "build", "--no-cache", "--progress=plain", ...none, directory],
        { env: { DOCKER_BUILDKIT: "1" } },
      );
      const ours = await build(engine.host, ["--no-cache", "--progress=plain", ...none, directory]);
      expect(steps(ours.stderr)).toEqual(steps(theirs.stderr));
    } finally {
      daemon.kill("SIGTERM");
      await new Promise((done) => daemon.once("exit", done));
    }
  },
);

/** step → its lines, with times, sizes and numbers masked; what differs on purpose is left out. */
function steps(text: string): Record<string, string[]> {
  const names = new Map<string, string>();
  const out: Record<string, string[]> = {};
  for (const line of text.split("\n")) {
    const [, number, rest] = /^#(\d+) (.*)$/.exec(line) ?? [];
    if (number === undefined || rest === undefined || number === "0" || rest === "...") continue;
    if (!names.has(number)) {
      // A newer BuildKit's name of a base has its digest.
      names.set(number, rest.replace(/@sha256:\w+/, ""));
      out[names.get(number)!] = [];
      continue;
    }
    if (rest === names.get(number) || rest.startsWith("sha256:")) continue;
    // A transfer is told of while it goes on when it takes long enough.
    if (rest.startsWith("transferring") && !rest.endsWith("done")) continue;
    const masked = rest
      .replace(/^\d+\.\d{3} /, "T ")
      .replace(/ [\d.]+(k|M)?B/g, " SIZE")
      .replace(/ \d+\.\ds/g, "")
      .replace(/ SIZE (?=done)/, " ");
    out[names.get(number)!]!.push(masked);
  }
  // 20.10 has an image of its own kind to write; and our daemon reads the directory where it is.
  delete out["exporting to image"];
  const loaded = "[internal] load build context";
  out[loaded] = (out[loaded] ?? []).filter((line) => !line.startsWith("transferring"));
  for (const [name, lines] of Object.entries(out))
    if (/FROM|load metadata/.test(name))
      out[name] = lines.filter((line) => /DONE|CACHED/.test(line)).map(() => "END");
  return out;
}

conform("what the cache holds is told as buildx and docker tell it", async () => {
  const directory = context("usage", { Dockerfile: "FROM BUSYBOX\nRUN echo counted > /counted\n" });
  const corten_ = (...argv: string[]) => run([...corten, "-H", engine.host, ...argv]);
  expect((await build(engine.host, ["-q", directory])).code).toBe(0);
  const table = await corten_("buildx", "du");
  expect(table.stdout).toMatch(
    /^ID +RECLAIMABLE +SIZE +LAST ACCESSED *\n(?:\w+\*? +(?:true|false) +[\d.]+k?M?B\*? +.* ago\n)+/,
  );
  expect(table.stdout).toMatch(/\nReclaimable:\t+\S+\nTotal:\t+\S+\n$/);
  const json = await corten_("buildx", "du", "--format", "json", "--filter", "type=regular");
  const records = json.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(records.find(({ Description }) => Description.includes("echo counted"))).toMatchObject({
    Type: "regular",
    Reclaimable: true,
    Mutable: false,
  });
  const verbose = await corten_("builder", "du", "--verbose");
  expect(verbose.stdout).toMatch(/^ID:\t+\w+\n[\s\S]*Description:\t.*echo counted/);
  expect(await corten_("builder", "du", "--verbose", "--format", "json")).toMatchObject({
    code: 1,
    stderr: "ERROR: --format and --verbose cannot be used together\n",
  });
  expect((await corten_("builder", "du", "--filter", "nosuch=1")).code).toBe(1);
  const [ours, theirs] = await Promise.all([
    corten_("system", "df", "-v"),
    engine.docker("system", "df", "-v"),
  ]);
  const cacheOf = (text: string) =>
    text
      .slice(text.indexOf("Build cache usage"))
      .replace(/\d+ seconds?|Less than a second|About a minute/g, "N")
      .replace(/ +/g, " ");
  // Rows of the same size have no order of their own.
  const rows = (text: string) => cacheOf(text).split("\n").sort();
  expect(rows(ours.stdout)).toEqual(rows(theirs.stdout));
  expect((await corten_("buildx", "ls")).stdout).toMatch(
    /^NAME\/NODE .*\ndefault\* +docker *\n \\_ default +\\_ default +running +\S+ +linux\/\w+\n$/,
  );
  expect((await corten_("buildx", "inspect")).stdout).toMatch(
    /^Name: +default\nDriver: +docker\n\nNodes:\nName: +default\nEndpoint: +default\nStatus: +running\n/,
  );
  expect((await corten_("buildx", "inspect", "other")).code).toBe(1);
  expect((await corten_("buildx", "version")).stdout).toMatch(/^corten \S+ \S+\n$/);
  const none = await corten_("builder", "prune", "-a", "-f", "--filter", "until=24h");
  expect(none).toMatchObject({ code: 0, stdout: "Total reclaimed space: 0B\n" });
  const asked = await run([...corten, "-H", engine.host, "builder", "prune"], { input: "n\n" });
  expect(asked.stdout).toStartWith(
    "WARNING! This will remove all dangling build cache. Are you sure you want to continue? [y/N] ",
  );
  const pruned = await corten_("system", "prune", "-a", "-f");
  expect(pruned.stdout).toMatch(/Deleted build cache objects:\n(?:\w+\n)+\nTotal reclaimed space: /);
  expect((await corten_("builder", "du", "--format", "{{.Description}}")).stdout).not.toContain(
    "echo counted",
  );
});

conform("bases behind a password, with the credentials that docker stores", async () => {
  const { startDockerRegistry, user, password } = await import("../helpers/docker-registry.ts");
  await using locked = await startDockerRegistry({ auth: "basic" });
  const copied = await run([
    ...["skopeo", "copy", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"],
    ...[
      "--dest-creds",
      `${user}:${password}`,
      `docker://${registry.busybox}`,
      `docker://${locked.host}/base:1`,
    ],
  ]);
  expect(`${copied.code} ${copied.stderr}`).toMatch(/^0 /);
  const directory = context("locked", { Dockerfile: `FROM ${locked.host}/base:1\nRUN echo in > /in\n` });
  const config = join(scratch, "docker-config");
  mkdirSync(config);
  const env = { DOCKER_CONFIG: config, DOCKER_BUILDKIT: "0" };
  const clients = [
    [...corten, "-H", engine.host, "build", "-q", "--pull", directory],
    [...corten, "-H", remote, "build", "-q", "--pull", directory],
    ["/usr/bin/docker", "-H", engine.host, "build", "-q", "--pull", directory],
  ];
  for (const argv of clients) {
    rmSync(join(config, "config.json"), { force: true });
    expect((await run(argv, { env })).code).toBe(1);
    const auth = Buffer.from(`${user}:${password}`).toString("base64");
    writeFileSync(join(config, "config.json"), JSON.stringify({ auths: { [locked.host]: { auth } } }));
    const built = await run(argv, { env });
    expect(built.stdout).toMatch(/^sha256:\w{64}\n$/);
    expect(engine.log()).not.toContain(password);
  }
  // The same of a cache that is in a registry, and of one that is an image here.
  const pushed = await run(
    [
      ...corten,
      "-H",
      engine.host,
      "build",
      "-q",
      "-t",
      `${locked.host}/cached:1`,
      "--push",
      "--cache-to",
      "type=inline",
      directory,
    ],
    { env },
  );
  expect(`${pushed.code} ${pushed.stderr}`).toMatch(/^0 /);
  for (const from of [`${locked.host}/cached:1`]) {
    await run([...corten, "-H", engine.host, "builder", "prune", "-af"]);
    await run([...corten, "-H", engine.host, "rmi", "-f", `${locked.host}/cached:1`]);
    const again = await run(
      ["/usr/bin/docker", "-H", engine.host, "build", "--cache-from", from, directory],
      { env },
    );
    expect(again.stdout).toContain(" ---> Using cache\n");
  }
});
