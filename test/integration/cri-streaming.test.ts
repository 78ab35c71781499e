import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StreamingServer } from "../../src/cri/streaming/server.ts";
import type { StreamingServerOptions } from "../../src/cri/streaming/types.ts";
import { makeCertificates } from "../helpers/docker-registry.ts";
import { until as untilNamed } from "../helpers/engine.ts";
import { type SpdyClient, spdyClient } from "../helpers/spdy-client.ts";
import { collect, FakeRuntime, pattern, patternDigest } from "../helpers/streaming-runtime.ts";

/** Exec, attach and port-forward as clients see them; the runtime behind is a fake. */
const runtime = new FakeRuntime();
let server: StreamingServer;
/** Waits for streams that do not come only so long that a test can see it; the other one's patience no slow machine exhausts. */
let impatient: StreamingServer;
const others: StreamingServer[] = [];

const open = async (options: Partial<StreamingServerOptions> = {}) => {
  const opened = await StreamingServer.open({ address: "127.0.0.1", port: 0, runtime, ...options });
  others.push(opened);
  return opened;
};

beforeAll(async () => {
  server = await open();
  impatient = await open({ creationTimeout: 1000 });
});
afterAll(async () => {
  for (const opened of others) await opened.close();
});

const hundredMegabytes = 100_000_000;
const all = { containerId: "c", tty: false, stdin: false, stdout: true, stderr: false };
const exec = (command: string[], options: Partial<typeof all> = {}, on = server) =>
  on.exec({ ...all, ...options, command });
const forwardUrl = (...ports: number[]) => server.portForward({ podSandboxId: "p", ports });
const impatientForwardUrl = () => impatient.portForward({ podSandboxId: "p", ports: [] });
const text = async (source: AsyncIterable<Uint8Array>) => (await collect(source)).toString();
const until = (probe: () => boolean) => untilNamed("the state waited for", probe);
const idle = () => until(() => runtime.active === 0);
const failure = async (promise: Promise<unknown>) => {
  try {
    await promise;
  } catch (error) {
    return (error as Error).message;
  }
  return "no failure";
};

/** Asks with curl's headers for an upgrade to nothing. */
const status = async (url: string, init: RequestInit = {}) => {
  const response = await fetch(url, init);
  await response.text();
  return response.status;
};

async function spdyExec(command: string[], options: Partial<typeof all> = {}, version = "v4.channel.k8s.io") {
  const client = await spdyClient(exec(command, options), version);
  const error = await client.open("error");
  const names = (["stdin", "stdout", "stderr"] as const).filter((name) => ({ ...all, ...options })[name]);
  const streams = new Map<string, Awaited<ReturnType<SpdyClient["open"]>>>();
  for (const name of names) streams.set(name, await client.open(name));
  return { client, error, streams, stdin: streams.get("stdin")!, stdout: streams.get("stdout")! };
}

/** A WebSocket with its messages as text, the channel first. */
function webSocket(url: string, ...protocols: string[]) {
  const socket = new WebSocket(url.replace("http", "ws"), protocols);
  socket.binaryType = "arraybuffer";
  const channels = new Map<number, Buffer[]>();
  const messages: string[] = [];
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") {
      messages.push(data);
      return;
    }
    const bytes = Buffer.from(data as ArrayBuffer);
    const list = channels.get(bytes[0]!) ?? [];
    list.push(bytes.subarray(1));
    channels.set(bytes[0]!, list);
  };
  const closed = new Promise<number>((resolve) => {
    socket.onclose = ({ code }) => resolve(code);
  });
  const opened = new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error("no WebSocket"));
  });
  return {
    socket,
    opened,
    closed,
    messages,
    channel: (number: number) => Buffer.concat(channels.get(number) ?? []),
    send: (channel: number, bytes: Uint8Array | string) =>
      socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(bytes)])),
  };
}

test("a URL is good for one connection of its own kind", async () => {
  const url = exec(["exit", "0"]);
  expect(url).toMatch(new RegExp(`^http://127\\.0\\.0\\.1:${server.port}/exec/[\\w-]{22}$`));
  expect(await status(url.replace("/exec/", "/attach/"))).toBe(404);
  expect(await status(url)).toBe(400);
  expect(await status(url, { method: "PUT" })).toBe(405);
  expect(await failure(spdyClient(url, "v9.channel.k8s.io"))).toMatch(/403[\s\S]*v4\.channel\.k8s\.io/);
  const client = await spdyClient(url, "v9.channel.k8s.io, v3.channel.k8s.io");
  expect(client.head).toContain("x-stream-protocol-version: v3.channel.k8s.io");
  expect(await failure(spdyClient(url, "v4.channel.k8s.io"))).toContain("404");
  client.socket.destroy();
});

test("requests that make no sense get no URL", () => {
  expect(() => exec(["x"], { stdout: false })).toThrow("one of stdin, stdout, or stderr");
  expect(() => exec(["x"], { tty: true, stderr: true })).toThrow("tty and stderr");
  expect(() => exec(["x"], { containerId: "" })).toThrow("container_id");
  expect(() => server.portForward({ podSandboxId: "", ports: [] })).toThrow("pod_sandbox_id");
  expect(() => forwardUrl(70_000)).toThrow("invalid port");
});

test("exec over SPDY: both outputs, then the exit code as a Status", async () => {
  const { error, streams } = await spdyExec(["both"], { stderr: true });
  const [out, err, end] = await Promise.all([
    text(streams.get("stdout")!.inbound),
    text(streams.get("stderr")!.inbound),
    text(error.inbound),
  ]);
  expect([out, err]).toEqual(["out", "err"]);
  expect(JSON.parse(end)).toMatchObject({
    status: "Failure",
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: "3" }] },
  });
});

test("exec over SPDY before version 4: failures in words, success in silence", async () => {
  const failed = await spdyExec(["exit", "9"], {}, "v2.channel.k8s.io");
  expect(await text(failed.error.inbound)).toContain("exit code: 9");
  const good = await spdyExec(["exit", "0"], {}, "channel.k8s.io");
  expect(await text(good.error.inbound)).toBe("");
});

test("exec over SPDY: 100 MB there and back through a half-close", async () => {
  const { stdin, stdout, error } = await spdyExec(["cat"], { stdin: true });
  const hash = createHash("sha256");
  const reading = (async () => {
    for await (const bytes of stdout.inbound) hash.update(bytes);
  })();
  for (const bytes of pattern(hundredMegabytes)) await stdin.write(bytes);
  await stdin.end();
  await reading;
  expect(hash.digest("hex")).toBe(patternDigest(hundredMegabytes));
  expect(JSON.parse(await text(error.inbound))).toEqual({ metadata: {}, status: "Success" });
});

test("exec over SPDY: sizes of the terminal", async () => {
  const client = await spdyClient(exec(["sizes", "2"], { tty: true }), "v4.channel.k8s.io");
  await client.open("error");
  const stdout = await client.open("stdout");
  const resize = await client.open("resize");
  const lines = stdout.inbound;
  expect(Buffer.from((await lines.next())!).toString()).toBe("ready\n");
  await resize.write(Buffer.from('{"Width":80,"Height":24}\n'));
  expect(Buffer.from((await lines.next())!).toString()).toBe("80x24\n");
  await resize.write(Buffer.from('{"Width":132,"Height":50}\n'));
  expect(await text(lines)).toBe("132x50\n");
});

test("a process that leaves its stdin unread still gets its output through", async () => {
  const { stdin, stdout, error } = await spdyExec(["ignore-stdin"], { stdin: true });
  const writing = failure(
    (async () => {
      for (const bytes of pattern(20_000_000)) await stdin.write(bytes);
    })(),
  );
  expect(await text(stdout.inbound)).toBe("done");
  expect(JSON.parse(await text(error.inbound)).status).toBe("Success");
  await writing;
});

test("a client that reads nothing holds up its process, not our memory", async () => {
  const { client, stdout } = await spdyExec(["source", String(hundredMegabytes)]);
  client.socket.pause();
  // It stands still once the buffers of both ends and of the system are full.
  let before = -1;
  await until(() => {
    const still = runtime.written > 0 && runtime.written === before;
    before = runtime.written;
    return still;
  });
  expect(runtime.active).toBe(1);
  expect(runtime.written).toBeLessThan(hundredMegabytes / 2);
  client.socket.resume();
  const hash = createHash("sha256");
  for await (const bytes of stdout.inbound) hash.update(bytes);
  expect(hash.digest("hex")).toBe(patternDigest(hundredMegabytes));
});

test("the end of a client ends its process, whatever it was doing", async () => {
  for (const command of ["hang", "deaf"]) {
    const { client, stdin } = await spdyExec([command], { stdin: true });
    await until(() => runtime.active === 1);
    // More than is buffered: the connection is not being read when the client goes.
    if (command === "deaf") void failure(stdin.write(new Uint8Array(8 << 20)));
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.socket.resetAndDestroy();
    await idle();
  }
});

test("a session whose streams do not all come is given up", async () => {
  const client = await spdyClient(exec(["cat"], { stdin: true }, impatient), "v4.channel.k8s.io");
  const error = await client.open("error");
  expect(JSON.parse(await text(error.inbound)).message).toContain("timed out waiting for client");
  expect(runtime.active).toBe(0);
});

test("attach over SPDY, and its failure", async () => {
  const url = (containerId: string) => server.attach({ ...all, stdin: true, containerId });
  const client = await spdyClient(url("c"), "v4.channel.k8s.io");
  await client.open("error");
  const stdin = await client.open("stdin");
  const stdout = await client.open("stdout");
  await stdin.write(Buffer.from("hello"));
  await stdin.end();
  expect(await text(stdout.inbound)).toBe("attached\nhello");
  const refused = await spdyClient(url("none"), "v4.channel.k8s.io");
  const error = await refused.open("error");
  for (const name of ["stdin", "stdout"]) await refused.open(name);
  expect(JSON.parse(await text(error.inbound)).message).toContain("container none is not running");
});

test("exec over WebSocket, version 5: 100 MB there and back through the close signal", async () => {
  const client = webSocket(exec(["cat"], { stdin: true }), "v5.channel.k8s.io", "v4.channel.k8s.io");
  await client.opened;
  expect(client.socket.protocol).toBe("v5.channel.k8s.io");
  for (const bytes of pattern(hundredMegabytes)) {
    client.send(0, bytes);
    if (client.socket.bufferedAmount > 1 << 20) await until(() => client.socket.bufferedAmount < 1 << 18);
  }
  client.socket.send(Buffer.from([255, 0]));
  expect(await client.closed).toBe(1000);
  expect(createHash("sha256").update(client.channel(1)).digest("hex")).toBe(patternDigest(hundredMegabytes));
  expect(JSON.parse(client.channel(3).toString()).status).toBe("Success");
});

test("exec over WebSocket, versions 4 and 1, in binary and in base64", async () => {
  const codes: string[] = [];
  for (const protocol of ["v4.channel.k8s.io", "channel.k8s.io", ""]) {
    const client = webSocket(exec(["both"], { stderr: true }), ...(protocol === "" ? [] : [protocol]));
    expect(await client.closed).toBe(1000);
    expect([client.channel(1).toString(), client.channel(2).toString()]).toEqual(["out", "err"]);
    codes.push(client.channel(3).toString());
  }
  expect(JSON.parse(codes[0]!).details.causes[0].message).toBe("3");
  expect(codes[1]).toContain("exit code: 3");
  expect(codes[2]).toBe(codes[1]!);

  const coded = webSocket(exec(["cat"], { stdin: true }), "v4.base64.channel.k8s.io");
  await coded.opened;
  coded.socket.send(`0${Buffer.from("hello").toString("base64")}`);
  await until(() => coded.messages.includes(`1${Buffer.from("hello").toString("base64")}`));
  expect(coded.messages[0]).toBe("1");
  coded.socket.close();
  await idle();
});

test("the end of a WebSocket ends its process", async () => {
  const client = webSocket(exec(["hang"]), "v4.channel.k8s.io");
  await until(() => client.channel(1).toString() === "hanging");
  client.socket.close();
  await idle();
  const cut = webSocket(exec(["hang"]), "v5.channel.k8s.io");
  await until(() => cut.channel(1).toString() === "hanging");
  cut.socket.terminate();
  await idle();
});

async function forwarded(client: SpdyClient, port: number, id?: string) {
  const headers = { port: String(port), ...(id === undefined ? {} : { requestid: id }) };
  const error = await client.open("error", headers);
  const data = await client.open("data", headers);
  return { error, data };
}

test("port-forward over SPDY: many connections, half-closes, answers after them", async () => {
  const client = await spdyClient(forwardUrl(), "portforward.k8s.io");
  const echoes = Array.from({ length: 20 }, async (_, index) => {
    const { data, error } = await forwarded(client, 1, String(index));
    await data.write(Buffer.from(`hello ${index}`));
    await data.end();
    expect(await text(data.inbound)).toBe(`hello ${index}`);
    expect(await text(error.inbound)).toBe("");
  });
  await Promise.all(echoes);
  const { data } = await forwarded(client, 3, "digest");
  for (const bytes of pattern(1_000_000)) await data.write(bytes);
  await data.end();
  expect(await text(data.inbound)).toBe(patternDigest(1_000_000));
  await client.session.end();
  await idle();
});

test("port-forward over SPDY: 100 MB there and back", async () => {
  const client = await spdyClient(forwardUrl(), "portforward.k8s.io");
  const { data } = await forwarded(client, 1, "big");
  const hash = createHash("sha256");
  const reading = (async () => {
    for await (const bytes of data.inbound) hash.update(bytes);
  })();
  for (const bytes of pattern(hundredMegabytes)) await data.write(bytes);
  await data.end();
  await reading;
  expect(hash.digest("hex")).toBe(patternDigest(hundredMegabytes));
  client.socket.destroy();
});

test("port-forward over SPDY: a failure is told, and the others go on", async () => {
  const client = await spdyClient(forwardUrl(), undefined);
  const good = await forwarded(client, 1, "good");
  const bad = await forwarded(client, 2, "bad");
  expect(await text(bad.error.inbound)).toBe("error forwarding port 2 to pod p: connection refused");
  await good.data.write(Buffer.from("x"));
  expect(Buffer.from((await good.data.inbound.next())!).toString()).toBe("x");
  // Without request ids the streams' numbers pair them.
  const old = await forwarded(client, 1);
  await old.data.write(Buffer.from("old"));
  await old.data.end();
  expect(await text(old.data.inbound)).toBe("old");
  for (const headers of [{ port: "0" }, { port: "65536" }, { port: "x" }, {}])
    expect(await failure(client.open("data", headers))).toContain("reset stream");
  const waiting = await spdyClient(impatientForwardUrl(), undefined);
  const alone = await waiting.open("error", { port: "1", requestid: "alone" });
  expect(await text(alone.inbound)).toContain("timed out waiting for streams");
  waiting.socket.destroy();
  good.data.reset();
  await idle();
  client.socket.destroy();
});

test("port-forward over WebSocket channels: the port first, then its bytes", async () => {
  expect(await failure(webSocket(forwardUrl(), "v4.channel.k8s.io").opened)).toBe("no WebSocket");
  const client = webSocket(forwardUrl(1, 2), "v4.channel.k8s.io");
  await client.opened;
  client.send(0, "hello");
  await until(() => client.channel(0).toString("latin1") === "\u0001\u0000hello");
  await until(() => client.channel(3).toString("latin1").includes("connection refused"));
  expect([...client.channel(2)]).toEqual([2, 0]);
  client.socket.close();
  await idle();
});

test("a connection without traffic ends, and so does its process", async () => {
  const short = await open({ idleTimeout: 2000 });
  const client = webSocket(exec(["hang"], {}, short), "v4.channel.k8s.io");
  await client.closed;
  await idle();
  const spdy = await spdyClient(short.portForward({ podSandboxId: "p", ports: [] }), "portforward.k8s.io");
  await forwarded(spdy, 1, "1");
  await new Promise<void>((resolve) => spdy.session.signal.addEventListener("abort", () => resolve()));
  await idle();
});

test("closing the server ends its sessions and its tokens", async () => {
  const other = await open();
  const url = exec(["hang"], {}, other);
  const client = webSocket(exec(["hang"], {}, other), "v4.channel.k8s.io");
  await until(() => client.channel(1).toString() === "hanging");
  await other.close();
  expect(runtime.active).toBe(0);
  await client.closed;
  expect(await failure(spdyClient(url, "v4.channel.k8s.io"))).not.toBe("no failure");
});

test("over TLS who has no certificate of the authority is refused", async () => {
  const root = mkdtempSync(join(tmpdir(), "corten-cri-streaming-"));
  try {
    const made = makeCertificates(root, root, true);
    const read = (name: string) => readFileSync(join(root, name), "utf8");
    const pair = { certificate: readFileSync(made.certificate, "utf8"), key: readFileSync(made.key, "utf8") };
    const plain = await open({ tls: pair });
    const url = exec(["both"], { stderr: true }, plain);
    expect(url).toStartWith("https://127.0.0.1:");
    const client = await spdyClient(url, "v4.channel.k8s.io");
    const error = await client.open("error");
    for (const name of ["stdout", "stderr"]) await client.open(name);
    expect(JSON.parse(await text(error.inbound)).reason).toBe("NonZeroExitCode");

    const strict = await open({ tls: { ...pair, clientAuthority: read("ca.crt") } });
    expect(await failure(spdyClient(exec(["both"], {}, strict), "v4.channel.k8s.io"))).not.toBe("no failure");
    const own = { key: read("client.key"), cert: read("client.cert") };
    const known = await spdyClient(exec(["both"], {}, strict), "v4.channel.k8s.io", own);
    known.socket.destroy();
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

test("URLs carry the base they are given", async () => {
  const based = await open({ baseUrl: "https://node.example:10250/cri/" });
  const url = new URL(exec(["exit", "0"], {}, based));
  expect(url.href).toStartWith("https://node.example:10250/cri/exec/");
  const client = await spdyClient(`http://127.0.0.1:${based.port}${url.pathname}`, "v4.channel.k8s.io");
  client.socket.destroy();
});
