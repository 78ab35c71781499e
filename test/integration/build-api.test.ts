/** `POST /build`, `/build/cancel` and `/build/prune` as requests: what is refused, forms of contexts, clients that leave. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimSubnet } from "../helpers/claims.ts";
import { type Engine, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const ready = Bun.which("docker-registry") !== null && Bun.which("skopeo") !== null;
const withEngine = requires("docker-registry", "skopeo", "gzip", "xz", "bzip2");

let engine: Engine;
let registry: TestRegistry;
let scratch: string;

beforeAll(async () => {
  if (!ready) return;
  scratch = mkdtempSync(join(tmpdir(), "corten-build-api-"));
  registry = await startTestRegistry();
  engine = await startEngine();
});
afterAll(async () => {
  if (!ready) return;
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

const call = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`http://engine${path}`, { method: "POST", ...init, unix: engine.socket } as RequestInit);

/** A tar of these files, through `filter` if it is named. */
async function context(files: Record<string, string>, filter = ""): Promise<Uint8Array> {
  const directory = mkdtempSync(join(scratch, "context-"));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(directory, name, ".."), { recursive: true });
    writeFileSync(join(directory, name), text.replaceAll("BUSYBOX", registry.busybox));
  }
  const argv = ["sh", "-c", `tar -C ${directory} -cf - . ${filter === "" ? "" : `| ${filter} -c`}`];
  return new Uint8Array(Bun.spawnSync(argv).stdout);
}

interface Line {
  stream?: string;
  error?: string;
  errorDetail?: { message: string; code?: number };
  aux?: { ID: string };
}
async function lines(answer: Response): Promise<Line[]> {
  const text = await answer.text();
  return text
    .split("\r\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
}
const said = (all: Line[]) => all.map(({ stream = "" }) => stream).join("");

describe("what is refused before a byte of the answer", () => {
  const query = (name: string, value: string) => `${name}=${encodeURIComponent(value)}`;
  const cases: Array<[query: string, told: RegExp]> = [
    [query("t", "UP:1"), /^invalid reference format: repository name \(library\/UP\) must be lowercase$/],
    [query("t", `a@sha256:${"0".repeat(64)}`), /^refusing to create a tag with a digest reference$/],
    [query("buildargs", "{"), /^error reading build args: /],
    [query("buildargs", '{"a":1}'), /^error reading build args: 1 /],
    [query("buildargs", "[]"), /^error reading build args: /],
    [query("labels", "x"), /^error reading labels: /],
    [query("ulimits", "{}"), /^error reading ulimit settings: /],
    [query("ulimits", '[{"Name":"nofile"}]'), /^error reading ulimit settings: /],
    [query("cachefrom", "1"), /^error reading cache-from: /],
    [query("outputs", '[{"Type":1}]'), /^invalid outputs specified: /],
    [query("securityopt", "x"), /^security options are not supported on linux$/],
    [query("isolation", "hyperv"), /^unsupported isolation: "hyperv"$/],
    [query("version", "3"), /^invalid version "3"$/],
    [query("shmsize", "big"), /^strconv.ParseInt: parsing "big": invalid syntax$/],
    [query("platform", "a/b/c/d"), /platform/],
    [query("dockerfile", "Nope"), /open Nope: no such file or directory|Cannot locate specified Dockerfile/],
    [query("dockerfile", "../../etc/passwd"), /no such file or directory|Forbidden path|Cannot locate/],
    [query("target", "none"), /target stage "none" could not be found/],
    [query("remote", "file:///etc/passwd"), /./],
  ];
  for (const [text, told] of cases)
    withEngine(decodeURIComponent(text), async () => {
      const answer = await call(`/v1.47/build?${text}`, {
        body: await context({ Dockerfile: "FROM scratch\n" }),
      });
      const { message } = (await answer.json()) as { message: string };
      expect(message).toMatch(told);
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.status).toBeLessThan(501);
    });
});

withEngine("contexts may be compressed in any way, and must be archives", async () => {
  for (const filter of ["", "gzip", "xz", "bzip2"]) {
    const body = await context({ Dockerfile: "FROM scratch\nCOPY f /\n", f: filter }, filter);
    const all = await lines(await call("/build?q=1", { body }));
    expect([filter, all.length, all[0]?.stream]).toEqual([
      filter,
      1,
      expect.stringMatching(/^sha256:\w{64}\n$/),
    ]);
  }
  for (const body of ["this is no tar", "", "x".repeat(5000)]) {
    const answer = await call("/build", { body });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(((await answer.json()) as { message: string }).message).not.toBe("");
  }
});

withEngine("steps run on the network that is named, which can be removed right after", async () => {
  const subnet = await claimSubnet();
  const created = await call("/networks/create", {
    body: JSON.stringify({ Name: "mine", IPAM: { Config: [{ Subnet: `${subnet}.0/24` }] } }),
    headers: { "Content-Type": "application/json" },
  });
  expect(created.status).toBe(201);
  const body = await context({
    Dockerfile: `FROM BUSYBOX\nRUN ip -4 -o addr show dev eth0 && cat /etc/hosts\n`,
  });
  const all = await lines(await call("/build?networkmode=mine", { body }));
  expect(said(all)).toContain(`inet ${subnet}.2/24`);
  expect(said(all)).toContain(`${subnet}.2\t`);
  expect((await call("/networks/mine", { method: "DELETE" })).status).toBe(204);
  const [last] = (await lines(await call("/build?networkmode=mine&nocache=1", { body }))).slice(-1);
  expect(last?.error).toContain("network mine not found");
});

withEngine("an image comes from its parameters: labels, arguments, target, platform, tags", async () => {
  const parameters = new URLSearchParams({
    buildargs: '{"A":"x","NONE":null}',
    labels: '{"l":"v"}',
    target: "one",
    platform: "linux/arm64",
    dockerfile: "sub/D",
    rm: "0",
    forcerm: "1",
    nocache: "true",
  });
  for (const tag of ["params:1", "localhost:5000/params"]) parameters.append("t", tag);
  const body = await context({ "sub/D": "FROM scratch AS one\nARG A\nLABEL a=$A\nFROM nosuch\n" });
  const all = await lines(await call(`/v1.41/build?${parameters}`, { body }));
  expect(said(all)).toContain(
    "Successfully tagged params:1\nSuccessfully tagged localhost:5000/params:latest\n",
  );
  const image = (await (await call("/images/params:1/json", { method: "GET" })).json()) as {
    Id: string;
    Architecture: string;
    Config: { Labels: Record<string, string> };
  };
  expect(image.Architecture).toBe("arm64");
  expect(image.Config.Labels).toEqual({ a: "x", l: "v" });
  expect(all.find(({ aux }) => aux)?.aux?.ID).toBe(image.Id);
});

withEngine("a Dockerfile or an archive from the web is a context", async () => {
  const tar = await context({ Dockerfile: "FROM scratch\nCOPY f /\n", f: "f" });
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ url }) =>
      new URL(url).pathname === "/tar"
        ? new Response(Buffer.from(tar))
        : new Response("FROM scratch\nLABEL from=web\n"),
  });
  try {
    for (const path of ["tar", "file"]) {
      const remote = encodeURIComponent(`http://127.0.0.1:${server.port}/${path}`);
      const all = await lines(await call(`/build?remote=${remote}`));
      expect(JSON.stringify(all)).not.toMatch(/"(?:error|message)"/);
      expect(said(all)).toMatch(/Successfully built/);
    }
  } finally {
    await server.stop(true);
  }
});

const uploads = () => readdirSync(join(engine.root, "lib/build/contexts"));

withEngine("a client that goes away while it sends its context leaves nothing", async () => {
  const socket = connect(engine.socket);
  const head = "POST /build HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  socket.write(head);
  const body = (await context({ Dockerfile: "FROM scratch\n", big: "x".repeat(300_000) })).subarray(
    0,
    200_000,
  );
  socket.write(`${body.length.toString(16)}\r\n`);
  socket.write(body);
  await until("the upload", () => uploads().length > 0);
  socket.destroy();
  await until("its end", () => uploads().length === 0);
});

withEngine("a client that goes away while a step runs ends it; so does /build/cancel", async () => {
  const seconds = `7${process.pid}.5`;
  const body = await context({ Dockerfile: `FROM BUSYBOX\nRUN echo begun; sleep ${seconds}\n` });
  const sleeping = async () =>
    (await run(["ps", "-eo", "args"])).stdout.split("\n").includes(`sleep ${seconds}`);
  for (const how of ["leave", "cancel"]) {
    const gone = new AbortController();
    const answer = await call(`/build?buildid=mine&nocache=1`, { body, signal: gone.signal });
    const reader = answer.body!.getReader();
    let text = "";
    while (!text.includes("begun\\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`the build ended early: ${text}`);
      text += new TextDecoder().decode(value);
    }
    await until("the step", sleeping);
    if (how === "leave") gone.abort();
    else {
      expect((await call("/build/cancel?id=mine")).status).toBe(200);
      for (let next = await reader.read(); !next.done; next = await reader.read())
        text += new TextDecoder().decode(next.value);
      expect(text).toContain("context canceled");
    }
    await until("its end", async () => !(await sleeping()));
    await until("its context to be gone", () => uploads().length === 0);
  }
  expect((await call("/build/cancel?id=mine")).status).toBe(200);
  expect((await call("/build/cancel")).status).toBe(400);
});

withEngine("the cache is counted and pruned, by what a filter says", async () => {
  const body = await context({ Dockerfile: "FROM BUSYBOX\nRUN echo counted > /c\n" });
  expect((await call("/build?q=1", { body })).status).toBe(200);
  interface Record_ {
    ID: string;
    Type: string;
    Size: number;
    InUse: boolean;
    Shared: boolean;
    CreatedAt: string;
    Description: string;
  }
  const cache = async () =>
    ((await (await call("/v1.47/system/df", { method: "GET" })).json()) as { BuildCache: Record_[] })
      .BuildCache;
  const mine = (await cache()).find(({ Description }) => Description.includes("echo counted"));
  expect(mine).toMatchObject({ Type: "regular", InUse: false });
  const prune = async (query: string) => {
    const answer = await call(`/build/prune?${query}`);
    return {
      status: answer.status,
      ...((await answer.json()) as { CachesDeleted?: string[] | null; message?: string }),
    };
  };
  const filters = (value: object) => `filters=${encodeURIComponent(JSON.stringify(value))}`;
  expect((await prune(`all=1&${filters({ until: ["24h"] })}`)).CachesDeleted ?? []).toEqual([]);
  expect((await prune(`all=1&${filters({ id: [mine!.ID] })}`)).CachesDeleted).toEqual([mine!.ID]);
  expect((await prune(filters({ nosuch: ["x"] }))).status).toBe(400);
  expect(await prune("keep-storage=many")).toMatchObject({
    status: 400,
    message: expect.stringContaining("keep-storage is in bytes and expects an integer, got many"),
  });
  expect((await cache()).some(({ ID }) => ID === mine!.ID)).toBe(false);
  await prune("all=1");
  expect((await cache()).filter(({ InUse }) => !InUse)).toEqual([]);
});
