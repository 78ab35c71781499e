import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EngineClient } from "./client.ts";

let directory = "";
let server: Server;
let answer = "";
let connections = 0;
let received = "";

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "corten-transport-"));
  server = createServer({ allowHalfOpen: true }, (socket) => {
    connections++;
    socket.on("data", (bytes) => {
      received += bytes.toString();
      if (answer !== "echo") socket.write(answer);
      else if (received.includes("\r\n\r\n") && !received.includes("upgraded")) {
        received = "upgraded";
        socket.write(
          "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nfirst ",
        );
      }
    });
    socket.on("end", () => socket.end(answer === "echo" ? "after the end" : ""));
    socket.on("error", () => {});
  });
  await new Promise<void>((done) => server.listen(join(directory, "s"), done));
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

const client = () =>
  new EngineClient({ endpoint: { kind: "unix", path: join(directory, "s") }, hostName: "unix:///s" });

test("a chunked answer is put together and the connection used again", async () => {
  answer =
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n{"Vol\r\n11\r\numes":[],"W":"é"\r\n1\r\n}\r\n0\r\n\r\n';
  using engine = client();
  connections = 0;
  expect(await engine.volumes.list()).toEqual({ Volumes: [], W: "é" } as never);
  expect(await engine.volumes.list()).toEqual({ Volumes: [], W: "é" } as never);
  expect(connections).toBe(1);
});

test("a version that was assumed and is too new for the daemon is replaced by the daemon's, and the call made again", async () => {
  using engine = client();
  received = "";
  await engine.assume();
  answer =
    'HTTP/1.1 400 Bad Request\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"message":"x"}';
  await engine.execs.inspect("a").catch(() => {});
  expect(received.match(/GET \S+/g)).toEqual(["GET /v1.47/exec/a/json", "GET /v1.41/exec/a/json"]);
  expect(engine.apiVersion).toBe("1.41");
});

test("an error that is not about the assumed version is not asked for again", async () => {
  using engine = client();
  received = "";
  await engine.assume();
  answer =
    'HTTP/1.1 400 Bad Request\r\nApi-Version: 1.50\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"message":"x"}';
  const error = await engine.execs.inspect("a").catch((error) => error);
  expect(error.message).toBe("Error response from daemon: x");
  expect(received.match(/GET/g)).toHaveLength(1);
});

test("a daemon's error keeps its text and becomes a code", async () => {
  answer =
    'HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n{"message":"No such x"}'.replace(
      "22",
      "23",
    );
  using engine = client();
  expect(engine.containers.inspect("x")).rejects.toMatchObject({
    code: "not_found",
    message: "Error response from daemon: No such x",
  });
});

test("output goes on after our end of the stream", async () => {
  answer = "echo";
  received = "";
  using engine = client();
  const stream = await engine.containers.attach("x", { stdin: true, stdout: true });
  await stream.end();
  let text = "";
  for await (const chunk of stream.output) text += Buffer.from(chunk).toString();
  expect(text).toBe("first after the end");
});

test("a daemon that is not there is named", async () => {
  const engine = new EngineClient({
    endpoint: { kind: "unix", path: join(directory, "none") },
    hostName: "unix:///none",
  });
  expect(engine.system.ping()).rejects.toMatchObject({
    code: "unavailable",
    message: "Cannot connect to the Docker daemon at unix:///none. Is the docker daemon running?",
  });
});

test("a header with a line break is refused", async () => {
  const engine = new EngineClient({
    endpoint: { kind: "unix", path: join(directory, "s") },
    hostName: "x",
    headers: { X: "a\r\nY: b" },
  });
  expect(engine.system.ping()).rejects.toThrow("invalid header field value");
});
