/** RUN steps by our own command: what they see, what stays of them in a layer, and what stays of them on the machine. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { corten, type Engine, run, startEngine, until } from "../helpers/engine.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(240_000);
const test = requires("/bin/busybox", "tar", "ssh-agent");

let engine: Engine;
let scratch: string;
let serial = 0;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "corten-run-"));
  engine = await startEngine();
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

/** Busybox alone on scratch, with files beside it. */
function context(steps: string, files: Record<string, string> = {}): string {
  const directory = join(scratch, `context-${serial++}`);
  mkdirSync(directory);
  cpSync("/bin/busybox", join(directory, "busybox"));
  writeFileSync(
    join(directory, "Dockerfile"),
    `FROM scratch\nENV PATH=/bin\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\nRUN busybox --install /bin\n${steps}`,
  );
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return directory;
}

const build = (directory: string, ...flags: string[]) =>
  run([...corten, "-H", engine.host, "build", "--progress=plain", ...flags, directory]);

/** What steps printed, without the numbers of their lines. */
const printed = (output: string) =>
  output
    .split("\n")
    .flatMap((line) => /^#\d+ \d+\.\d{3} (.*)$/.exec(line)?.slice(1) ?? [])
    .join("\n");

/** Names in the last layers of an image, one list a layer. */
async function lastLayers(image: string, count: number): Promise<string[][]> {
  const directory = join(scratch, `image-${serial++}`);
  mkdirSync(directory);
  const file = `${directory}.tar`;
  expect((await run([...corten, "-H", engine.host, "save", "-o", file, image])).code).toBe(0);
  await run(["tar", "-xf", file, "-C", directory]);
  const [{ Layers }] = JSON.parse(readFileSync(join(directory, "manifest.json"), "utf8"));
  const lists: string[][] = [];
  for (const layer of (Layers as string[]).slice(-count))
    lists.push((await run(["tar", "-tf", join(directory, layer)])).stdout.split("\n").filter(Boolean));
  return lists;
}

describe("RUN", () => {
  test("leaves nothing in its layer of what it was given", async () => {
    const directory = context(
      `RUN true\nRUN --mount=type=tmpfs,target=/deep/er/place echo x > /deep/er/place/x\nRUN --mount=type=cache,target=/cache --mount=type=secret,id=s echo kept > /kept\n`,
      { secret: "hidden" },
    );
    const built = await build(directory, "-t", "clean", "--secret", `id=s,src=${join(directory, "secret")}`);
    expect(built.code).toBe(0);
    expect(await lastLayers("clean", 3)).toEqual([[], [], ["kept"]]);
  });

  test("sees a context without what is ignored, and cannot change it", async () => {
    const directory = context(
      `RUN --mount=type=bind,target=/in ls /in\nRUN --mount=type=bind,target=/in,rw echo more > /in/written && ls /in\nRUN --mount=type=bind,target=/in touch /in/refused || echo refused\n`,
      {
        plain: "plain",
        ignored: "ignored",
        ".dockerignore": "ignored\nDockerfile\n.dockerignore\nbusybox\n!busybox\n",
      },
    );
    const built = await build(directory);
    expect(built.code).toBe(0);
    expect(printed(built.stderr)).toBe(
      "busybox\nplain\nbusybox\nplain\nwritten\ntouch: /in/refused: Read-only file system\nrefused",
    );
    expect(readdirSync(directory).sort()).toEqual([
      ".dockerignore",
      "Dockerfile",
      "busybox",
      "ignored",
      "plain",
    ]);
  });

  test("with another file changed in a bound context runs again, and only then", async () => {
    const directory = context(`RUN --mount=type=bind,source=a,target=/a cat /a > /copy\n`, {
      a: "1",
      b: "1",
    });
    const cached = async () => {
      const { code, stderr } = await build(directory);
      expect(code).toBe(0);
      return /#(\d+) .*RUN --mount=type=bind.*\n#\1 CACHED/.test(stderr);
    };
    expect(await cached()).toBe(false);
    expect(await cached()).toBe(true);
    writeFileSync(join(directory, "b"), "2");
    expect(await cached()).toBe(true);
    writeFileSync(join(directory, "a"), "2");
    expect(await cached()).toBe(false);
  });

  test("without a network has none, with the default one an address, its own name and no privilege", async () => {
    const directory = context(
      `RUN --network=none ip -o link | busybox cut -d: -f2\nRUN hostname; grep -c buildkitsandbox /etc/hosts; ip -o addr show | grep -c 'inet '\nRUN grep CapEff /proc/self/status; mount -t tmpfs x /mnt 2>&1 || echo no mount\n`,
    );
    const built = await build(directory);
    expect(built.code).toBe(0);
    const lines = printed(built.stderr).split("\n");
    expect(lines[0]).toBe(" lo");
    expect(lines.slice(1, 4)).toEqual(["buildkitsandbox", "1", "2"]);
    expect(Number.parseInt(lines[4]!.split("\t")[1]!, 16) & (1 << 21)).toBe(0);
    expect(lines.at(-1)).toBe("no mount");
  });

  test("talks to the client's agent, whose socket nobody else can use", async () => {
    const socket = join(scratch, "agent.sock");
    const agent = Bun.spawn(["ssh-agent", "-D", "-a", socket], { stdout: "ignore", stderr: "ignore" });
    try {
      while (
        !(await Bun.file(socket)
          .stat()
          .catch(() => undefined))
      )
        await Bun.sleep(5);
      // SSH_AGENTC_REQUEST_IDENTITIES, answered by a list of none.
      const directory = context(
        `RUN --mount=type=ssh stat -c %a $SSH_AUTH_SOCK; printf '\\000\\000\\000\\001\\013' | busybox nc local:$SSH_AUTH_SOCK 2>/dev/null | busybox od -An -tx1 | head -1\nRUN test -z "$SSH_AUTH_SOCK" && test ! -e /run/buildkit && echo gone\n`,
      );
      const built = await build(directory, "--ssh", `default=${socket}`);
      expect(built.code).toBe(0);
      expect(printed(built.stderr)).toStartWith("600\n");
      expect(printed(built.stderr)).toEndWith("gone");
    } finally {
      agent.kill();
      await agent.exited;
    }
  });

  test("that fails leaves no task, mount or directory", async () => {
    const directory = context(`RUN --mount=type=bind,target=/in --mount=type=secret,id=s,env=S exit 5\n`);
    const failed = await run(
      [...corten, "-H", engine.host, "build", "--secret", "id=s,env=WORD", directory],
      {
        env: { WORD: "very-secret-word" },
      },
    );
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain("did not complete successfully: exit code: 5");
    expect(failed.stderr).not.toContain("very-secret-word");
    expect(engine.log()).not.toContain("very-secret-word");
    expect(readdirSync(join(engine.root, "run/build"))).toEqual([]);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(`${engine.root}/run/build`);
  });

  test("has its secrets in no file of the daemon's, while it runs and afterwards", async () => {
    const words = { variable: `variable-${process.pid}-word`, file: `file-${process.pid}-word` };
    const directory = context(
      `RUN --mount=type=cache,target=/gate --mount=type=secret,id=v,env=TOKEN --mount=type=secret,id=f,target=/token echo "$TOKEN" | wc -c; cat /token | wc -c; touch /gate/begun; until [ -e /gate/go ]; do sleep 0.05; done\n`,
    );
    writeFileSync(join(scratch, "token"), words.file);
    const building = run(
      [
        ...[
          ...corten,
          "-H",
          engine.host,
          "build",
          "--progress=plain",
          "-t",
          "secretive",
          "--provenance=mode=max",
        ],
        ...["--secret", "id=v,env=WORD", "--secret", `id=f,src=${join(scratch, "token")}`, directory],
      ],
      { env: { WORD: words.variable }, timeout: 230_000 },
    );
    /** Files of the daemon's own file system that have one of them; the step's own tmpfs is not part of it. */
    const found = async () => {
      const patterns = Object.values(words).flatMap((word) => ["-e", word]);
      const grep = ["grep", "-lF", ...patterns, "{}", "+"];
      return (await run(["find", engine.root, "-xdev", "-type", "f", "-exec", ...grep])).stdout;
    };
    const mounts = join(engine.root, "lib/build/mounts");
    const gate = await until(
      "the step's first lines",
      () =>
        (existsSync(mounts) ? readdirSync(mounts) : [])
          .map((name) => join(mounts, name))
          .find((path) => existsSync(join(path, "begun"))),
      60,
    );
    try {
      expect(await found()).toBe("");
    } finally {
      writeFileSync(join(gate, "go"), "");
    }
    const built = await building;
    expect(built.code).toBe(0);
    // Both were there, with the line's end that echo adds.
    expect(printed(built.stderr)).toBe(`${words.variable.length + 1}\n${words.file.length}`);
    expect(await found()).toBe("");
    expect(engine.log()).not.toContain("-word");
  });
});
