/** The real docker CLI 28 copying into and out of containers: files, directories, links, `-` streams; running or not. */
import { afterAll, beforeAll, expect } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EntryLike, tarOf } from "../../src/archive/tar/index.ts";
import { type Engine, leftovers, type Output, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const docker28 = "/usr/local/bin/docker";
const ready = existsSync(docker28) && Bun.which("docker-registry") !== null;
const conform = requires(docker28, "docker-registry");

let engine: Engine;
let registry: TestRegistry;
let scratch: string;

const docker = (...argv: string[]): Promise<Output> => run([docker28, "-H", engine.host, ...argv]);
const must = async (...argv: string[]): Promise<string> => {
  const result = await docker(...argv);
  if (result.code !== 0) throw new Error(`docker ${argv.join(" ")}: ${result.stderr}`);
  return result.stdout;
};

beforeAll(async () => {
  if (!ready) return;
  scratch = mkdtempSync(join(tmpdir(), "corten-cp-"));
  registry = await startTestRegistry();
  engine = await startEngine();
  await must("pull", registry.busybox);
  mkdirSync(join(scratch, "tree/sub"), { recursive: true });
  writeFileSync(join(scratch, "tree/file"), "in the tree\n", { mode: 0o640 });
  writeFileSync(join(scratch, "tree/sub/script"), "deep\n", { mode: 0o755 });
  symlinkSync("sub/script", join(scratch, "tree/link"));
  writeFileSync(join(scratch, "single"), "single\n");
});
afterAll(async () => {
  if (!ready) return;
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

for (const state of ["created", "running"] as const) {
  const it = `cp-${state}`;
  const out = (name: string) => join(scratch, state, name);
  const content = (path: string) => readFileSync(path, "utf8");

  conform(`into and out of a ${state} container`, async () => {
    mkdirSync(out(""), { recursive: true });
    await must("create", "--name", it, registry.busybox, "sleep", "600");
    if (state === "running") await must("start", it);
    await must("cp", join(scratch, "single"), `${it}:/renamed`);
    await must("cp", join(scratch, "single"), `${it}:/tmp`);
    await must("cp", `${it}:/renamed`, out("renamed"));
    await must("cp", `${it}:/tmp/single`, out(""));
    expect([content(out("renamed")), content(out("single"))]).toEqual(["single\n", "single\n"]);

    // Onto a directory that is there, to a name that is not, and only what a directory has in it.
    await must("cp", join(scratch, "tree"), `${it}:/tmp`);
    await must("cp", join(scratch, "tree"), `${it}:/fresh`);
    await must("cp", `${join(scratch, "tree")}/.`, `${it}:/var`);
    await must("cp", `${it}:/tmp/tree`, out("back"));
    await must("cp", `${it}:/fresh`, out(""));
    mkdirSync(out("content"));
    await must("cp", `${it}:/var/.`, out("content"));
    for (const directory of ["back", "fresh", "content"]) {
      expect(readdirSync(out(directory)).sort()).toEqual(["file", "link", "sub"]);
      expect(content(out(`${directory}/sub/script`))).toBe("deep\n");
      expect(statSync(out(`${directory}/file`)).mode & 0o777).toBe(0o640);
      expect(statSync(out(`${directory}/sub/script`)).mode & 0o777).toBe(0o755);
      expect(readlinkSync(out(`${directory}/link`))).toBe("sub/script");
    }
    // A link is copied as one, unless told to follow it.
    await must("cp", `${it}:/fresh/link`, out("as-link"));
    expect(readlinkSync(out("as-link"))).toBe("sub/script");
    await must("cp", "-L", `${it}:/fresh/link`, out("followed"));
    expect(content(out("followed"))).toBe("deep\n");
  });

  conform(`as a stream, of a ${state} container`, async () => {
    const archive = out("archive.tar");
    const sh = (command: string) => run(["sh", "-c", command]);
    const cp = `${docker28} -H ${engine.host} cp`;
    expect(await sh(`tar -C ${scratch} -cf - tree | ${cp} - ${it}:/root`)).toEqual({
      code: 0,
      stdout: "",
      stderr: "",
    });
    expect((await sh(`${cp} ${it}:/root/tree - > ${archive}`)).stderr).toBe("");
    expect((await sh(`tar -tf ${archive} | sort`)).stdout).toBe(
      "tree/\ntree/file\ntree/link\ntree/sub/\ntree/sub/script\n",
    );
    expect((await sh(`tar -xOf ${archive} tree/sub/script`)).stdout).toBe("deep\n");
  });

  conform(`what cannot be copied is refused, of a ${state} container`, async () => {
    expect((await docker("cp", join(scratch, "single"), `${it}:/nosuch/dir/`)).code).toBe(1);
    expect((await docker("cp", join(scratch, "tree"), `${it}:/renamed`)).stderr).toContain(
      "cannot copy directory",
    );
    expect((await docker("cp", `${it}:/renamed/`, out("x"))).code).toBe(1);
    expect((await docker("cp", `${it}:/nosuch`, out("x"))).stderr).toContain(
      "Could not find the file /nosuch",
    );
    if (state === "running")
      expect(await must("exec", it, "cat", "/tmp/tree/link", "/renamed")).toBe("deep\nsingle\n");
    await must("rm", "-f", it);
  });
}

const archive = async (method: string, it: string, query: string, body?: Uint8Array) => {
  const response = await fetch(`http://x/containers/${it}/archive?path=${query}`, {
    unix: engine.socket,
    method,
    headers: { "content-type": "application/x-tar" },
    ...(body ? { body } : {}),
  });
  const stat = response.headers.get("x-docker-container-path-stat");
  const bytes = Buffer.from(await response.arrayBuffer());
  const json = response.headers.get("content-type")?.startsWith("application/json") && bytes.length > 0;
  return {
    status: response.status,
    stat: stat ? JSON.parse(Buffer.from(stat, "base64").toString()) : undefined,
    message: json ? (JSON.parse(bytes.toString()) as { message: string }).message : "",
    bytes,
  };
};
const tarWith = (path: string, more: Partial<EntryLike> = {}) => tarOf({ path, ...more });

conform("what a start mounts is there before, as with docker's layer for it", async () => {
  await must("create", "--name", "places", registry.busybox, "true");
  // Kinds, modes and sizes are what dockerd 20.10 answered.
  for (const [path, mode, size] of [
    ["/etc/resolv.conf", 0o755, 0],
    ["/etc/hosts", 0o755, 0],
    ["/etc/hostname", 0o755, 0],
    ["/dev/console", 0o755, 0],
    ["/.dockerenv", 0o755, 0],
    ["/etc/mtab", 0x8000000 + 0o777, 12],
    ["/dev/pts", 0x80000000 + 0o755, undefined],
  ] as const) {
    const { status, stat } = await archive("GET", "places", path);
    expect([path, status, stat.mode]).toEqual([path, 200, mode]);
    if (size !== undefined) expect(stat.size).toBe(size);
  }
  await must("start", "-a", "places");
  const hosts = join(scratch, "hosts");
  await must("cp", "places:/etc/hosts", hosts);
  expect(readFileSync(hosts, "utf8")).toContain("127.0.0.1\tlocalhost");
  await must("rm", "places");
});

conform("noOverwriteDirNonDir, copyUIDGID and whiteouts are as dockerd has them", async () => {
  await must("create", "--name", "rules", "-u", "www-data", registry.busybox, "true");
  const put = (query: string, bytes: Uint8Array) => archive("PUT", "rules", query, bytes);
  const directory = tarWith("a/", { type: "directory" });
  expect((await put("/", directory)).status).toBe(200);
  expect(await put("/&noOverwriteDirNonDir=1", tarWith("a"))).toMatchObject({
    status: 500,
    message: 'cannot overwrite directory "/a" with non-directory "/"',
  });
  expect((await put("/&noOverwriteDirNonDir=1", directory)).status).toBe(200);
  expect((await put("/", tarWith("a"))).status).toBe(200);
  expect(await put("/&noOverwriteDirNonDir=1", directory)).toMatchObject({
    status: 500,
    message: 'cannot overwrite non-directory "/a" with directory "/"',
  });
  expect((await put("/tmp&copyUIDGID=1", tarWith("owned"))).status).toBe(200);
  expect((await put("/tmp", tarWith(".wh.owned"))).status).toBe(200);
  const listing = await run([
    "sh",
    "-c",
    `${docker28} -H ${engine.host} cp rules:/tmp - | tar -tvf - --numeric-owner`,
  ]);
  expect(listing.stdout).toMatch(/ 0\/0 .* tmp\/\.wh\.owned\n.* 33\/33 .* tmp\/owned\n/);
  await must("rm", "rules");
});

conform("what the container may not write is judged by where a path leads", async () => {
  const flags = ["--read-only", "-v", "cp-rw:/rw", "-v", "cp-ro:/ro:ro"];
  await must("create", "--name", "sealed", ...flags, registry.busybox, "true");
  const put = async (path: string) => {
    const { status, message } = await archive("PUT", "sealed", path, tarWith("x"));
    return [status, message];
  };
  expect(await put("/rw")).toEqual([200, ""]);
  expect(await put("/rw/../tmp")).toEqual([400, "container rootfs is marked read-only"]);
  expect(await put("/ro")).toEqual([400, "mounted volume is marked read-only"]);
  await must("rm", "sealed");
  await must("create", "--name", "sealed", "-v", "cp-ro:/ro:ro", registry.busybox, "true");
  const link = tarWith("link", { type: "symlink", linkPath: "/ro" });
  expect((await archive("PUT", "sealed", "/", link)).status).toBe(200);
  expect(await put("/link")).toEqual([400, "mounted volume is marked read-only"]);
  await must("rm", "sealed");
  await must("volume", "rm", "cp-rw", "cp-ro");
});

conform("kill -9 during a copy leaves no mount behind", async () => {
  const content = new Uint8Array(1 << 20);
  await must("create", "--name", "big", "-v", "cp-big:/vol", registry.busybox, "true");
  for (const place of ["/var", "/vol"])
    for (let index = 0; index < 64; index++)
      expect((await archive("PUT", "big", place, tarWith(`f${index}`, { data: content }))).status).toBe(200);
  for (const place of ["/var", "/vol"]) {
    const over = join(scratch, `over${place.replace("/", "-")}`);
    const stall = `head -c 1000000; until [ -e ${over} ]; do sleep 0.1; done`;
    const copying = run([
      "sh",
      "-c",
      `${docker28} -H ${engine.host} cp big:${place} - | { ${stall}; } | wc -c`,
    ]);
    // Of this container: others were copied from a moment ago.
    const filters = ["-f", "event=archive-path", "-f", "container=big"];
    await until(
      "the copy to begin",
      async () => (await docker("events", "--since", "1m", "--until", "0s", ...filters)).stdout !== "",
    );
    await engine.restart();
    writeFileSync(over, "");
    await copying;
    expect(leftovers(engine.root).filter((one) => one.includes("/mounts/"))).toEqual([]);
    await must("cp", `big:${place}/f1`, join(scratch, "f1"));
  }
  await must("rm", "-v", "big");
  await must("volume", "rm", "cp-big");
});
