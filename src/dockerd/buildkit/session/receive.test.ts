import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FileSync } from "../../../../proto/gen/moby/session/filesync_pb.ts";
import { type Packet, Packet_PacketType as Type } from "../../../../proto/gen/moby/session/fsutil_pb.ts";
import { Mirror } from "../../../build/context/mirror.ts";
import { type Implementation, serveGrpc, streaming } from "../grpc/server.ts";
import { pipe } from "../http2/pipe.ts";
import { toGoMode } from "./modes.ts";
import { receiveDirectory } from "./receive.ts";
import { Session } from "./sessions.ts";

interface File {
  path: string;
  /** A stat's mode. */
  mode: number;
  content?: string;
  linkname?: string;
  time?: bigint;
}

let root = "";
let requests: string[] = [];
let headers: ReadonlyMap<string, readonly string[]> = new Map();
const open: { close(): void }[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "corten-receive-"));
  requests = [];
});
afterEach(() => {
  for (const one of open.splice(0)) one.close();
  rmSync(root, { recursive: true, force: true });
});

/** A client that has these files, as fsutil's sender tells them. */
function clientOf(files: File[]): Session {
  const [here, there] = pipe();
  const diffCopy = async function* (input: AsyncIterable<Packet>, context: { metadata: typeof headers }) {
    headers = context.metadata;
    for (const { path, mode, content = "", linkname = "", time = 1_700_000_000_123_456_789n } of files)
      yield {
        type: Type.PACKET_STAT,
        stat: {
          path,
          mode: toGoMode(mode),
          size: BigInt(content.length),
          modTime: time,
          linkname,
          uid: 1000,
          gid: 7,
        },
      };
    yield { type: Type.PACKET_STAT };
    for await (const packet of input) {
      if (packet.type === Type.PACKET_FIN) {
        yield { type: Type.PACKET_FIN };
        return;
      }
      if (packet.type === Type.PACKET_ERR) return;
      const file = files[packet.ID]!;
      requests.push(file.path);
      const data = Buffer.from(file.content ?? "");
      for (let at = 0; at < data.length; at += 32 << 10)
        yield { type: Type.PACKET_DATA, ID: packet.ID, data: data.subarray(at, at + (32 << 10)) };
      yield { type: Type.PACKET_DATA, ID: packet.ID };
    }
  };
  const service = {
    DiffCopy: streaming(diffCopy as unknown as Parameters<typeof streaming>[0]),
  } as Implementation;
  open.push(serveGrpc(there, { services: [[FileSync, service]] }));
  const session = new Session(here, {
    id: "s",
    sharedKey: "k",
    methods: ["/moby.filesync.v1.FileSync/DiffCopy"],
  });
  open.push(session);
  return session;
}

const never = new AbortController().signal;
const receive = (files: File[], selection: object = {}) =>
  receiveDirectory(clientOf(files), { name: "context", ...selection }, () => new Mirror(root), {
    signal: never,
  });

async function failure(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "nothing failed",
    (error) => String(error),
  );
}

const tree: File[] = [
  { path: "a", mode: 0o100644, content: "one" },
  { path: "d", mode: 0o040750 },
  { path: "d/big", mode: 0o100755, content: "x".repeat(100_000) },
  { path: "d/empty", mode: 0o100600 },
  { path: "d/same", mode: 0o100755, linkname: "d/big" },
  { path: "l", mode: 0o120777, linkname: "d/big" },
];

test("a directory comes with contents, modes, times and links, and belongs to root", async () => {
  const hashes = await receive(tree);
  const path = join(root, "tree");
  expect(readFileSync(join(path, "a"), "utf8")).toBe("one");
  expect(readFileSync(join(path, "d/big"), "utf8")).toBe("x".repeat(100_000));
  expect(lstatSync(join(path, "d/empty")).size).toBe(0);
  expect(readlinkSync(join(path, "l"))).toBe("d/big");
  const big = lstatSync(join(path, "d/big"), { bigint: true });
  expect(big.mode & 0o7777n).toBe(0o755n);
  expect(big.mtimeNs).toBe(1_700_000_000_123_456_789n);
  expect(big.ino).toBe(lstatSync(join(path, "d/same"), { bigint: true }).ino);
  expect(lstatSync(join(path, "d")).mode & 0o7777).toBe(0o750);
  expect(lstatSync(join(path, "d"), { bigint: true }).mtimeNs).toBe(1_700_000_000_123_456_789n);
  expect(big.uid).toBe(BigInt(process.getuid!()));
  expect(hashes.get("", "unknown")).toBeUndefined();
  expect(requests).toEqual(["a", "d/big", "d/empty"]);
});

test("the second time only what changed comes, and what is gone goes", async () => {
  await receive(tree);
  requests = [];
  const changed = tree
    .filter(({ path }) => path !== "d/same" && path !== "l")
    .map((file) => (file.path === "a" ? { ...file, content: "two", time: 5n } : file));
  await receive(changed);
  expect(requests).toEqual(["a"]);
  expect(readFileSync(join(root, "tree/a"), "utf8")).toBe("two");
  expect(readdirSync(join(root, "tree")).sort()).toEqual(["a", "d"]);
  expect(readdirSync(join(root, "tree/d")).sort()).toEqual(["big", "empty"]);
});

test("a directory whose last build was interrupted comes anew", async () => {
  await receive(tree);
  requests = [];
  // Killed between its beginning and its end.
  new Mirror(root);
  await receive(tree);
  expect(requests).toEqual(["a", "d/big", "d/empty"]);
});

test("a directory that became a link leads the removal of what was in it nowhere", async () => {
  const outside = mkdtempSync(join(tmpdir(), "corten-outside-"));
  try {
    writeFileSync(join(outside, "big"), "precious");
    await receive(tree);
    await receive([{ path: "d", mode: 0o120777, linkname: outside }]);
    expect(readFileSync(join(outside, "big"), "utf8")).toBe("precious");
    expect(readlinkSync(join(root, "tree/d"))).toBe(outside);
  } finally {
    rmSync(outside, { recursive: true, force: true });
  }
});

test("types change into each other", async () => {
  await receive(tree);
  await receive([
    { path: "a", mode: 0o040755 },
    { path: "a/b", mode: 0o100644, content: "b" },
    { path: "d", mode: 0o100644, content: "file" },
    { path: "l", mode: 0o100644, content: "no link" },
  ]);
  expect(readFileSync(join(root, "tree/a/b"), "utf8")).toBe("b");
  expect(readFileSync(join(root, "tree/d"), "utf8")).toBe("file");
  expect(readFileSync(join(root, "tree/l"), "utf8")).toBe("no link");
});

for (const [what, files] of [
  ["an absolute path", [{ path: "/etc/x", mode: 0o100644, content: "x" }]],
  ["a path with ..", [{ path: "../x", mode: 0o100644, content: "x" }]],
  [
    "a path with .. inside",
    [
      { path: "d", mode: 0o040755 },
      { path: "d/../../x", mode: 0o100644, content: "x" },
    ],
  ],
  [
    "a path through a link",
    [
      { path: "l", mode: 0o120777, linkname: "/tmp" },
      { path: "l/x", mode: 0o100644, content: "x" },
    ],
  ],
  [
    "a path through a file",
    [
      { path: "f", mode: 0o100644, content: "x" },
      { path: "f/x", mode: 0o100644, content: "x" },
    ],
  ],
  ["a file without its directory", [{ path: "d/x", mode: 0o100644, content: "x" }]],
  [
    "a path that comes twice",
    [
      { path: "x", mode: 0o100644, content: "x" },
      { path: "x", mode: 0o120777, linkname: "/" },
    ],
  ],
  ["a name with NUL", [{ path: "x\0y", mode: 0o100644, content: "x" }]],
  ["a hard link to what is not there", [{ path: "x", mode: 0o100644, linkname: "../../etc/passwd" }]],
] as [string, File[]][])
  test(`${what} is refused`, async () => {
    expect(await failure(receive(files))).toMatch(
      /leads elsewhere|without its directory|twice|no name of a file/,
    );
    expect(readdirSync(root).includes("index")).toBe(false);
  });

test("more than was agreed upon is refused", async () => {
  const mirror = new Mirror(root, { limits: { maxSize: 10, maxEntries: 100 } });
  expect(
    await failure(receiveDirectory(clientOf(tree), { name: "c" }, () => mirror, { signal: never })),
  ).toContain("more than 10 bytes");
  const few = new Mirror(root, { limits: { maxSize: 1e9, maxEntries: 3 } });
  expect(
    await failure(receiveDirectory(clientOf(tree), { name: "c" }, () => few, { signal: never })),
  ).toContain("more than 3 files");
});

test("names and patterns go as the client reads them", async () => {
  mkdirSync(join(root, "tree"), { recursive: true });
  await receive([], { include: ["Dockerfile", "x"], exclude: ["a b", "ü"], follow: ["Dockerfile"] });
  expect(headers.get("dir-name")).toEqual(["context"]);
  expect(headers.get("include-patterns")).toEqual(["Dockerfile", "x"]);
  expect(headers.get("followpaths")).toEqual(["Dockerfile"]);
  expect(headers.get("exclude-patterns")).toEqual(["a+b", "%C3%BC"]);
  expect(headers.get("exclude-patterns-encoded")).toEqual(["1"]);
});

test("a client that goes away fails the transfer and leaves no index", async () => {
  const session = clientOf([{ path: "a", mode: 0o100644, content: "x".repeat(50_000_000) }]);
  const work = receiveDirectory(session, { name: "c" }, () => new Mirror(root), { signal: never });
  work.catch(() => {});
  setTimeout(() => session.close(), 5);
  expect(await failure(work)).toMatch(/closed|gone/);
  expect(readdirSync(root).includes("index")).toBe(false);
});
