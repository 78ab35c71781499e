/** What docker-py's own suite found: how an exec's stream is framed, what ends a wait, an engine without a swarm. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { request } from "node:http";
import { startEngine } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
});
afterAll(() => registry[Symbol.asyncDispose]());

/** One call without an Upgrade header; resolves with the whole answer. */
function call(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { socketPath, method, path, headers: { "Content-Type": "application/json" } },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on("data", (part: Buffer) => parts.push(part));
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts) }));
      },
    );
    sent.on("error", reject);
    sent.end(body === undefined ? "" : JSON.stringify(body));
  });
}

test("the start of an exec says how its stream is framed, whatever the exec was created with", async () => {
  await using engine = await startEngine();
  expect((await engine.docker("run", "-d", "--name", "framed", registry.busybox, "sleep", "1000")).code).toBe(
    0,
  );
  const output = async (created: boolean, started: boolean) => {
    const made = await call(engine.socket, "POST", "/v1.47/containers/framed/exec", {
      AttachStdout: true,
      AttachStderr: true,
      Tty: created,
      Cmd: ["echo", "hi"],
    });
    const { Id } = JSON.parse(made.body.toString()) as { Id: string };
    return (await call(engine.socket, "POST", `/v1.47/exec/${Id}/start`, { Tty: started })).body;
  };
  const framed = (text: string) =>
    Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)]);
  expect(await output(true, false)).toEqual(framed("hi\r\n"));
  expect(await output(true, true)).toEqual(Buffer.from("hi\r\n"));
  expect(await output(false, false)).toEqual(framed("hi\n"));
  expect(await output(false, true)).toEqual(Buffer.from("hi\n"));
}, 240_000);

test("an exec looked at with wait=1, as our command line does, is answered when it has ended; else at once", async () => {
  await using engine = await startEngine();
  expect((await engine.docker("run", "-d", "--name", "waited", registry.busybox, "sleep", "1000")).code).toBe(
    0,
  );
  const made = await call(engine.socket, "POST", "/v1.47/containers/waited/exec", {
    AttachStdin: true,
    Cmd: ["sh", "-c", "while [ ! -e /end ]; do sleep 0.05; done; exit 7"],
  });
  const { Id } = JSON.parse(made.body.toString()) as { Id: string };
  const look = async (query: string) => {
    const { body } = await call(engine.socket, "GET", `/v1.47/exec/${Id}/json${query}`);
    const { Running, ExitCode } = JSON.parse(body.toString()) as {
      Running: boolean;
      ExitCode: number | null;
    };
    return [Running, ExitCode];
  };
  expect(await look("?wait=1")).toEqual([false, null]); // Never started: there is no end to wait for.
  await call(engine.socket, "POST", `/v1.47/exec/${Id}/start`, { Detach: true });
  expect(await look("")).toEqual([true, null]);
  const ended = look("?wait=1");
  await engine.docker("exec", "waited", "touch", "/end");
  expect(await ended).toEqual([false, 7]);
  expect((await engine.docker("exec", "waited", "sh", "-c", "exit 9")).code).toBe(9);
  expect((await engine.corten("exec", "waited", "sh", "-c", "exit 9")).code).toBe(9);
  expect((await engine.corten("exec", "waited", "/not/there")).code).toBe(127);
}, 240_000);

test("a wait for a container that always restarts ends with its first run", async () => {
  await using engine = await startEngine();
  expect(
    (
      await engine.docker(
        ...[
          "run",
          "-d",
          "--name",
          "again",
          "--restart",
          "always",
          registry.busybox,
          "sh",
          "-c",
          "sleep 2; exit 3",
        ],
      )
    ).code,
  ).toBe(0);
  const waited = await engine.docker("wait", "again");
  expect(waited).toEqual({ code: 0, stdout: "3\n", stderr: "" });
  const removed = await engine.docker("rm", "again");
  expect(removed.code).toBe(1);
  expect(removed.stderr.toLowerCase()).toContain("stop the container before");
}, 240_000);

test("leaving a swarm where there is none is 503, with Docker's text", async () => {
  await using engine = await startEngine();
  const left = await call(engine.socket, "POST", "/v1.47/swarm/leave?force=1");
  expect(left.status).toBe(503);
  expect(JSON.parse(left.body.toString())).toEqual({ message: "This node is not part of a swarm" });
}, 240_000);
