/**
 * The agent of virtual machines without a machine: both ends of the stream (`carry` outside, `serve` inside) and a proxy, built
 * with sanitizers, against each other and against random bytes. The seeds are fixed: CORTEN_FUZZ_SEED tries others.
 */
import { afterAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { socketPair } from "../../src/monitor/channel.ts";
import { askAgent } from "../../src/vm/client.ts";
import {
  mkdirRequest,
  netlinkRequest,
  readRequest,
  removeRequest,
  spawnRequest,
  writeRequest,
} from "../../src/vm/request.ts";
import { until } from "../helpers/engine.ts";
import { makeNative } from "../helpers/native.ts";

const agent = makeNative("corten-agent-asan");
const scratch = mkdtempSync(join(tmpdir(), "corten-agent-"));
spawnSync("chown", ["nobody", scratch]);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** xorshift32: the same everywhere. */
function generator(seed: number): (below: number) => number {
  let state = seed || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
const seed = Number(process.env["CORTEN_FUZZ_SEED"] ?? 5);

/** Starts one end on descriptor 3, as nobody: what random requests ask for must not be done as root. */
function start(stream: number, ...argv: string[]) {
  return Bun.spawn(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", agent, ...argv], {
    stdio: ["ignore", "ignore", "pipe", stream],
    env: { ASAN_OPTIONS: "exitcode=99:detect_leaks=0", UBSAN_OPTIONS: "halt_on_error=1:exitcode=99" },
  });
}
type Process = ReturnType<typeof start>;

async function endOf(process: Process): Promise<void> {
  process.kill("SIGKILL");
  await process.exited;
  const said = await new Response(process.stderr).text();
  expect(said).not.toContain("Sanitizer");
  expect(said).not.toContain("runtime error");
}

/** Both ends on one stream; `socket` is where clients connect. */
async function both(name: string) {
  const pair = socketPair();
  const socket = join(scratch, `${name}.sock`);
  const inside = start(pair.ours, "serve");
  const outside = start(pair.theirs, "carry", socket);
  const { closeSync } = await import("node:fs");
  closeSync(pair.ours);
  closeSync(pair.theirs);
  await until("the socket", () => existsSync(socket));
  return {
    socket,
    async [Symbol.asyncDispose]() {
      await endOf(outside);
      await endOf(inside);
    },
  };
}

test("requests go through both ends and are answered in their order, large files too", async () => {
  await using ends = await both("requests");
  const big = Buffer.alloc(900_000, "line of text\n");
  const file = join(scratch, "big");
  writeFileSync(file, big);
  const made = join(scratch, "made");
  const answers = await askAgent(ends.socket, [
    readRequest(file),
    mkdirRequest(made, 0o1777),
    mkdirRequest(made),
    removeRequest(join(scratch, "no such")),
    writeRequest(join(made, "absent"), "x"),
    readRequest(file),
  ]);
  expect(answers.map(({ error, content }) => [error, content.length])).toEqual([
    [0, big.length],
    [0, 0],
    [-17, 0],
    [-2, 0],
    [-2, 0],
    [0, big.length],
  ]);
  expect(answers[5]!.content.equals(big)).toBe(true);
  expect(statSync(made).mode & 0o7777).toBe(0o1777);
  const [removed] = await askAgent(ends.socket, [removeRequest(made)]);
  expect(removed!.error).toBe(0);
  expect(existsSync(made)).toBe(false);
});

test("a client that does not read holds up no other", async () => {
  await using ends = await both("windows");
  const file = join(scratch, "much");
  writeFileSync(file, Buffer.alloc(1_000_000));
  const lazy: Socket[] = [];
  for (let index = 0; index < 20; index++) {
    const client = connect(ends.socket);
    client.pause();
    for (let request = 0; request < 5; request++) client.write(readRequest(file));
    lazy.push(client);
  }
  const [answer] = await askAgent(ends.socket, [readRequest("/proc/version")]);
  expect(answer!.content.toString()).toContain("Linux");
  for (const client of lazy) client.destroy();
  const [after] = await askAgent(ends.socket, [readRequest("/proc/version")]);
  expect(after!.error).toBe(0);
});

test("clients beyond the number of channels are turned away, and the rest goes on", async () => {
  await using ends = await both("channels");
  const clients: Socket[] = [];
  let closed = 0;
  for (let index = 0; index < 300; index++) {
    const client = connect(ends.socket);
    client.on("error", () => {});
    client.on("close", () => closed++);
    client.resume();
    clients.push(client);
  }
  await until("refusals", () => closed >= 44);
  for (const client of clients) client.destroy();
  await until("a free channel", async () => {
    const answers = await askAgent(ends.socket, [readRequest("/proc/version")]).catch(() => undefined);
    return answers?.[0]?.error === 0;
  });
});

/** A frame of the stream: channel, length, type. */
function muxFrame(channel: number, type: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt32LE(channel >>> 0, 0);
  head.writeUInt32LE(payload.length, 4);
  head[8] = type;
  return Buffer.concat([head, payload]);
}

/** Mostly well-formed, so that it gets deep; then bytes are changed. */
function stream(random: (below: number) => number): Buffer {
  const requests = [
    readRequest("/proc/version"),
    writeRequest("/proc/nothing", "x"),
    mkdirRequest("/proc/x", random(1 << 16)),
    removeRequest("/proc/nothing"),
    netlinkRequest(Buffer.alloc(random(64), random(256))),
    spawnRequest({
      dir: `/nonexistent/${random(9)}`,
      descriptors: [
        { kind: "open", path: "/dev/null", flags: 0 },
        { kind: "process", pid: random(1 << 22) },
      ],
      result: random(1 << 24),
      program: Buffer.alloc(random(50)),
      plan: Buffer.alloc(random(50)),
    }),
  ];
  const frames: Buffer[] = [];
  for (let index = 0; index < 12; index++) {
    const channel = 1 + random(4);
    const type = random(10) === 0 ? random(256) : 1 + random(5);
    const request = Buffer.from(requests[random(requests.length)]!);
    for (let change = random(4); change > 0; change--) request[random(request.length)] = random(256);
    const payload =
      type === 2
        ? request
        : type === 3
          ? Buffer.from(new Uint32Array([random(2) ? random(70_000) : 0]).buffer)
          : Buffer.alloc(random(20) === 0 ? 4 : 0);
    frames.push(muxFrame(channel, type, payload));
  }
  const bytes = Buffer.concat(frames);
  for (let change = random(6); change > 0; change--) bytes[random(bytes.length)] = random(256);
  return bytes;
}

test.each(["serve", "carry"])("random streams do %s no harm", async (role) => {
  const random = generator(seed * 7919 + role.length);
  for (let round = 0; round < 25; round++) {
    const path = join(scratch, `fuzz-${role}.sock`);
    const { promise, resolve } = Promise.withResolvers<Socket>();
    // The other side of the stream is a socket of ours.
    const pair = socketPair();
    const victim = start(pair.theirs, ...(role === "carry" ? [role, path] : [role]));
    const { closeSync } = await import("node:fs");
    closeSync(pair.theirs);
    const options = {
      fd: pair.ours,
      socket: { open: () => resolve(undefined as never), data() {}, error() {} },
    };
    const ours = await Bun.connect(options as unknown as import("bun").UnixSocketOptions);
    await promise;
    const clients: Socket[] = [];
    if (role === "carry") {
      await until("the socket", () => existsSync(path));
      for (let index = 0; index < 3; index++) {
        const client = connect(path);
        client.on("error", () => {});
        client.resume();
        client.write(readRequest("/proc/version"));
        clients.push(client);
      }
    }
    for (let index = 0; index < 4; index++) ours.write(stream(random));
    await Promise.race([victim.exited, new Promise((next) => setTimeout(next, 15))]);
    // Ended by the rules (0 or 1) or going on; never by a signal or the sanitizers.
    if (victim.exitCode !== null || victim.signalCode !== null)
      expect({ code: victim.exitCode, signal: victim.signalCode, round }).toEqual({
        code: 1,
        signal: null,
        round,
      });
    ours.end();
    for (const client of clients) client.destroy();
    await endOf(victim);
  }
});

test("random answers of a machine do a proxy no harm", async () => {
  const random = generator(seed * 104_729);
  writeFileSync(join(scratch, "request"), readRequest("/x"));
  const { rmSync: remove } = await import("node:fs");
  for (let round = 0; round < 30; round++) {
    const path = join(scratch, "agent.sock");
    remove(path, { force: true });
    const server = createServer((client) => {
      client.on("error", () => {});
      client.resume();
      for (let index = 0; index < 20; index++) {
        const types = [1, 2, 3, 5, 6, 7, 8, 97, 98, random(256)];
        const payload = Buffer.alloc(random(12) === 0 ? random(70_000) : random(80), random(256));
        const frame = Buffer.alloc(8);
        frame.writeUInt32LE(random(25) === 0 ? random(2 ** 32 - 1) : payload.length, 0);
        frame[4] = types[random(types.length)]!;
        client.write(Buffer.concat([frame, payload]));
      }
      client.end();
    });
    await new Promise<void>((next) => server.listen(path, next));
    const proxy = Bun.spawn([agent, "proxy", join(scratch, "request"), "", "/run/x/result"], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ASAN_OPTIONS: "exitcode=99:detect_leaks=0", UBSAN_OPTIONS: "halt_on_error=1:exitcode=99" },
    });
    await Promise.race([proxy.exited, new Promise((next) => setTimeout(next, 3000))]);
    expect({ signal: proxy.signalCode, round }).toEqual({ signal: null, round });
    expect(proxy.exitCode).not.toBe(99);
    await endOf(proxy as unknown as Process);
    server.close();
  }
});

test("the agent is no program to be started by hand", () => {
  const started = spawnSync(agent, ["x"], { encoding: "utf8" });
  expect(started).toMatchObject({ status: 125, stderr: expect.stringContaining("not by hand") });
  expect(readFileSync(agent).length).toBeGreaterThan(0);
});
