/** `corten exec` by its short way (src/cli/plain) beside the usual one, on our daemon and on one that is not ours. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { corten, type Engine, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";

let registry: TestRegistry;
let engine: Engine;
beforeAll(async () => {
  registry = await startTestRegistry();
  engine = await startEngine();
  expect(await engine.corten("run", "-d", "--name", "box", registry.busybox, "sleep", "1000")).toMatchObject({
    code: 0,
  });
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

/** A flag with `=` takes the usual way. */
const usual = "--privileged=false";

const lines = [
  ["box", "sh", "-c", "echo out; echo err >&2; exit 7"],
  ["box", "true"],
  ["-u", "12:34", "-w", "/tmp", "-e", "A=b c", "box", "sh", "-c", "id -u; id -g; pwd; echo $A"],
  ["box", "sh", "-c", "kill -9 $$"],
  ["box", "sh", "-c", "exec >&- 2>&-; sleep 0.1; exit 3"],
  ["box", "nothing-of-that-name"],
  ["-w", "/not/there", "box", "true"],
  ["-u", "nobody-of-that-name", "box", "true"],
  ["nobox", "true"],
  ["", "true"],
];
for (const line of lines)
  test(`exec ${line.join(" ")}: as by the usual way`, async () => {
    expect(await engine.corten("exec", ...line)).toEqual(await engine.corten("exec", usual, ...line));
  });

test("much output arrives whole, and a slow reader holds it up without loss", async () => {
  const script = `${corten.join(" ")} -H ${engine.host} exec box sh -c 'head -c 30000000 /dev/zero; echo end'`;
  const { code, stdout } = await run([
    "sh",
    "-c",
    `${script} | { head -c 1000000; sleep 0.3; cat; } | sha256sum`,
  ]);
  const whole = createHash("sha256").update(Buffer.alloc(30_000_000)).update("end\n").digest("hex");
  expect([code, stdout.slice(0, 64)]).toEqual([0, whole]);
});

test("a reader that leaves ends it as SIGPIPE would", async () => {
  const script = `{ ${corten.join(" ")} -H ${engine.host} exec box yes; echo $? >&2; } | head -n 1`;
  expect(await run(["sh", "-c", script])).toEqual({ code: 0, stdout: "y\n", stderr: "141\n" });
});

test("an exec that another daemon has made is started there", async () => {
  // Our daemon, which does not hear what ours says to ours.
  const path = join(engine.root, "other.sock");
  const started: string[] = [];
  const replaced = (bytes: Buffer, from: string, to: string) =>
    Buffer.from(bytes.toString("latin1").replaceAll(from, to), "latin1");
  type Side = { other: Promise<Bun.Socket<undefined>> };
  const other = Bun.listen<Side>({
    unix: path,
    socket: {
      open(client) {
        client.data = {
          other: Bun.connect<undefined>({
            unix: engine.socket,
            socket: {
              data: (_, bytes) => void client.write(replaced(bytes, "Server: Corten/", "Server: Others/")),
              end: () => void client.end(),
              close: () => void client.end(),
            },
          }),
        };
      },
      async data(client, bytes) {
        started.push(...(bytes.toString("latin1").match(/(POST|GET) \S+/g) ?? []));
        (await client.data.other).write(replaced(bytes, "Corten-Start: 1", "Nobody-Cares: 1"));
      },
      close: async (client) => void (await client.data.other).end(),
    },
  });
  try {
    const line = ["exec", "box", "sh", "-c", "echo out; echo err >&2; exit 7"];
    expect(await run([...corten, "-H", `unix://${path}`, ...line])).toEqual({
      code: 7,
      stdout: "out\n",
      stderr: "err\n",
    });
    expect(started.map((text) => text.replace(/\/v1\.\d+/, "").replace(/[0-9a-f]{64}/, "ID"))).toEqual([
      "POST /containers/box/exec",
      "POST /exec/ID/start",
      "GET /exec/ID/json",
    ]);
  } finally {
    other.stop(true);
    rmSync(path, { force: true });
  }
});

test("a daemon that is killed meanwhile ends it with an error", async () => {
  const running = engine.corten("exec", "box", "sh", "-c", "echo up > /tmp/up; sleep 1000");
  await until(
    "the exec",
    async () => (await engine.corten("exec", "box", "cat", "/tmp/up")).stdout === "up\n",
  );
  await engine.restart();
  const { code, stderr } = await running;
  expect(code).toBe(1);
  expect(stderr).toMatch(/^error during connect: POST "unix:\/\/.*\/containers\/box\/exec": EOF\n$/);
  expect((await engine.corten("exec", "box", "echo", "again")).stdout).toBe("again\n");
});
