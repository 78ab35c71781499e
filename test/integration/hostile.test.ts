/** Containers and clients that try to reach what is not theirs. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Engine, run, startEngine } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";

let registry: TestRegistry;
let engine: Engine;
let image: string;
let work: string;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "corten-hostile-"));
  registry = await startTestRegistry();
  engine = await startEngine(["--insecure-registry", registry.address, "--default-ulimit", "core=0:0"]);
  image = registry.busybox;
  expect((await engine.docker("pull", "-q", image)).code).toBe(0);
}, 240_000);

afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

const host = (path: string) => `${statSync(path).dev} ${statSync(path).ino}`;

test("no descriptor of a container is the host's null device", async () => {
  const look = "stat -Lc '%d %i' /proc/self/fd/0 /dev/null";
  const [stdin, own] = (await engine.docker("run", "--rm", image, "sh", "-c", look)).stdout.split("\n");
  expect(stdin).toBe(own);
  expect(stdin).not.toBe(host("/dev/null"));
  const name = "null-of-exec";
  await engine.docker("run", "-d", "--name", name, image, "sleep", "1000");
  const again = (await engine.docker("exec", name, "sh", "-c", look)).stdout.split("\n");
  // The device of another container's /dev has another number.
  expect(again[0]).toBe(again[1]!);
  expect(again[0]).not.toBe(host("/dev/null"));
  // Without a null device of its own there is an empty file, never the host's.
  await engine.docker("exec", name, "rm", "/dev/null");
  await engine.docker("exec", name, "mkfifo", "/dev/null");
  const gone = await engine.docker("exec", name, "sh", "-c", "stat -Lc '%d %i' /proc/self/fd/0; cat");
  expect([gone.code, gone.stdout.trim() === host("/dev/null")]).toEqual([0, false]);
}, 240_000);

test("an exec has the limits of its container", async () => {
  const name = "limited";
  await engine.docker("run", "-d", "--name", name, "--ulimit", "nofile=100:200", image, "sleep", "1000");
  const { stdout } = await engine.docker("exec", name, "sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -Hc");
  expect(stdout).toBe("100\n200\n0\n");
}, 240_000);

test("copying into a stopped container writes through no link to a read-only mount", async () => {
  const shown = join(work, "shown");
  mkdirSync(shown);
  writeFileSync(join(shown, "f"), "original");
  const script = "mkdir /d && ln -s /data /d/link";
  await engine.docker("run", "--name", "copied", "-v", `${shown}:/data:ro`, image, "sh", "-c", script);
  const sent = join(work, "f");
  writeFileSync(sent, "overwritten");
  const tar = join(work, "sent.tar");
  await run(["tar", "-C", work, "-cf", tar, "f"]);
  const put = await run(
    ["curl", "-s", "--unix-socket", engine.socket, "-T", tar].concat(
      "http://localhost/containers/copied/archive?path=/d/link",
    ),
  );
  expect(put.stdout).toContain("message");
  expect([readFileSync(join(shown, "f"), "utf8"), readdirSync(shown)]).toEqual(["original", ["f"]]);
}, 240_000);

test("a volume's subpath leads nowhere outside of the volume", async () => {
  const secret = join(work, "secret");
  mkdirSync(secret);
  writeFileSync(join(secret, "key"), "secret");
  await engine.docker("volume", "create", "shared");
  const point = (await engine.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "shared")).stdout.trim();
  symlinkSync(secret, join(point, "absolute"));
  symlinkSync(`../../../../../../../../../../..${secret}`, join(point, "relative"));
  mkdirSync(join(point, "real/deep"), { recursive: true });
  writeFileSync(join(point, "real/deep/file"), "mine");
  symlinkSync("/real", join(point, "inside"));
  const cat = (subpath: string, file: string) =>
    engine.docker(
      ...["run", "--rm", "--mount", `type=volume,src=shared,dst=/x,volume-subpath=${subpath}`, image],
      ...["cat", `/x${file}`],
    );
  for (const link of ["absolute", "relative"]) {
    const seen = await cat(link, "/key");
    expect([link, seen.code === 0, seen.stdout]).toEqual([link, false, ""]);
  }
  for (const path of ["real/deep", "inside/deep"]) expect((await cat(path, "/file")).stdout).toBe("mine");
  expect((await cat("real/deep/file", "")).stdout).toBe("mine");
}, 240_000);

test("other users can read neither databases nor containers' files, and cannot connect", () => {
  const open: string[] = [];
  // What others reach: through directories they may search.
  const visit = (directory: string) => {
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      const stat = lstatSync(path);
      if (stat.isDirectory() && stat.mode & 0o001) visit(path);
      else if (stat.isSocket() && stat.mode & 0o007) open.push(path);
      else if (stat.isFile() && stat.mode & 0o006 && /\.db|\.json|lock/.test(name)) open.push(path);
    }
  };
  visit(join(engine.root, "lib"));
  visit(join(engine.root, "run"));
  expect(open).toEqual([]);
  expect(statSync(engine.socket).mode & 0o777).toBe(0o660);
});
