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
import { type Engine, type Output, run, startEngine } from "../helpers/engine.ts";
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
