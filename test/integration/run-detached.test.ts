/** A plain `run -d` goes a shorter way (src/cli/plain): to the user it must be the same one. */
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { corten, run, startEngine } from "../helpers/engine.ts";

const id = "e".repeat(64);
const plain = ["run", "-d", "busybox"];
const usual = ["run", "--detach=true", "busybox"];

/** A daemon that answers each request with the next of `answers`; an empty one ends the connection. */
async function against(answers: string[], argv: string[]) {
  const directory = mkdtempSync(join(tmpdir(), "corten-detached-"));
  const requests: string[] = [];
  const server = Bun.listen<{ text: string }>({
    unix: join(directory, "s"),
    socket: {
      open(socket) {
        socket.data = { text: "" };
      },
      data(socket, bytes) {
        // Head and body may come in two pieces.
        const text = socket.data.text + bytes.toString();
        const whole = isWhole(text);
        socket.data.text = whole ? "" : text;
        if (!whole) return;
        requests.push(text.slice(0, text.indexOf(" HTTP/")));
        const answer = answers.shift() ?? "";
        if (answer !== "") socket.write(answer);
        if (answer === "" || answer.includes("Connection: close")) socket.end();
      },
    },
  });
  try {
    const ended = await run([...corten, "-H", `unix://${directory}/s`, ...argv], {
      env: { HOME: directory },
    });
    return { ...ended, stderr: ended.stderr.replaceAll(directory, "DIR"), requests };
  } finally {
    server.stop(true);
    rmSync(directory, { recursive: true, force: true });
  }
}

function isWhole(request: string): boolean {
  const [head = "", body] = request.split(/\r\n\r\n(.*)/s);
  if (body === undefined) return false;
  if (/^transfer-encoding: chunked$/im.test(head)) return body.endsWith("0\r\n\r\n");
  return Buffer.byteLength(body) >= Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
}

function answer(status: string, json: unknown, headers = ""): string {
  const body = JSON.stringify(json);
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

const started = "HTTP/1.1 204 No Content\r\n\r\n";

test("a daemon that starts with the create is asked once", async () => {
  const { requests, ...ended } = await against(
    [
      answer(
        "201 Created",
        { Id: id, Warnings: ["cäreful"], Start: { status: 204 } },
        "Connection: close\r\n",
      ),
    ],
    plain,
  );
  expect(ended).toEqual({ code: 0, stdout: `${id}\n`, stderr: "WARNING: cäreful\n" });
  expect(requests).toEqual(["POST /v1.47/containers/create"]);
});

for (const [what, created] of [
  ["says how long its answer is", answer("201 Created", { Id: id, Warnings: null }, "Connection: close\r\n")],
  [
    "answers in chunks",
    `HTTP/1.1 201 Created\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4d\r\n{"Id":"${id}"}\r\n0\r\n\r\n`,
  ],
] as const)
  test(`another daemon is asked for the start as well, when it ${what}`, async () => {
    const found = await against([created, started], plain);
    expect(found).toEqual({
      code: 0,
      stdout: `${id}\n`,
      stderr: "",
      requests: ["POST /v1.47/containers/create", `POST /v1.47/containers/${id}/start`],
    });
  });

test("a start that another daemon refuses ends as on the usual way", async () => {
  const answers = () => [
    answer("201 Created", { Id: id, Warnings: [] }, "Connection: close\r\n"),
    answer("400 Bad Request", { message: 'exec: "x": executable file not found in $PATH' }),
  ];
  const ended = await against(answers(), plain);
  expect(ended).toEqual(await against(answers(), usual));
  expect(ended.code).toBe(127);
});

test("a daemon that is gone before its answer is not asked again, for the container may be there", async () => {
  const ended = await against([""], plain);
  expect(ended).toEqual(await against([""], usual));
  expect(ended.code).toBe(125);
  expect(ended.requests).toHaveLength(1);
});

test("a refused create is left to the usual way, which asks an older daemon in its own version", async () => {
  const old = answer("400 Bad Request", { message: "too new" }, "Api-Version: 1.41\r\n");
  const { requests, code } = await against(
    [old, old, answer("201 Created", { Id: id, Warnings: [] }), started],
    plain,
  );
  expect(code).toBe(0);
  expect(requests.slice(1)).toEqual([
    "POST /v1.47/containers/create",
    "POST /v1.41/containers/create",
    `POST /v1.41/containers/${id}/start`,
  ]);
});

test("without a daemon the words are the usual ones", async () => {
  const none = ["-H", "unix:///nonexistent/s"];
  const ended = await run([...corten, ...none, ...plain]);
  expect(ended).toEqual(await run([...corten, ...none, ...usual]));
  expect(ended.code).toBe(125);
});

test("our own daemon starts it with the create, or says why not", async () => {
  await using engine = await startEngine();
  const tree = join(engine.root, "tree");
  mkdirSync(join(tree, "bin"), { recursive: true });
  spawnSync("cp", ["/bin/busybox", join(tree, "bin/sleep")]);
  spawnSync("tar", ["-C", tree, "-cf", `${tree}.tar`, "."]);
  expect((await engine.corten("import", `${tree}.tar`, "bb:1")).code).toBe(0);

  const made = await engine.corten(
    "run",
    "-d",
    "--name",
    "first",
    "--network",
    "none",
    "-l",
    "x=y",
    "-e",
    "A=1",
    "bb:1",
    "sleep",
    "600",
  );
  expect(made.stderr).toBe("");
  const [inspected] = JSON.parse((await engine.corten("inspect", "first")).stdout);
  expect(inspected).toMatchObject({
    Id: made.stdout.trim(),
    State: { Running: true },
    Config: { Labels: { x: "y" }, Cmd: ["sleep", "600"] },
  });
  expect(inspected.Config.Env).toContain("A=1");

  for (const rest of [
    ["bb:1", "nope"],
    ["--name", "first", "bb:1", "sleep", "1"],
    ["--rm", "bb:1", "/bin"],
  ]) {
    const short = await engine.corten("run", "-d", "--network", "none", ...rest);
    const long = await engine.corten("run", "--detach=true", "--network", "none", ...rest);
    const ids = /[0-9a-f]{64}/g;
    const same = ({ code, stdout, stderr }: typeof short) => ({
      code,
      stdout: stdout.replace(ids, "ID"),
      stderr: stderr.replace(ids, "ID"),
    });
    expect(same(short)).toEqual(same(long));
    expect(short.code).not.toBe(0);
  }
  await engine.corten("rm", "-f", ...(await engine.corten("ps", "-aq")).stdout.split("\n").filter(Boolean));
}, 240_000);
