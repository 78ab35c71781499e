/** What a command line brings to a build: images in layouts that skopeo wrote, keys of ssh-keygen. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { corten, type Engine, run, startEngine } from "../helpers/engine.ts";
import { freePort, startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { copyProgram } from "../helpers/program-tree.ts";
import { requires } from "../helpers/requires.ts";

const ready = Bun.which("docker-registry") !== null && Bun.which("skopeo") !== null;
const conform = requires("docker-registry", "skopeo");

let engine: Engine;
let registry: TestRegistry;
let scratch: string;
let layout: string;
let digest: string;
let remote: string;

beforeAll(async () => {
  if (!ready) return;
  scratch = mkdtempSync(join(tmpdir(), "corten-build-contexts-"));
  registry = await startTestRegistry();
  remote = `tcp://127.0.0.1:${await freePort()}`;
  engine = await startEngine(["-H", remote]);
  layout = join(scratch, "layout");
  const copied = await run([
    ...["skopeo", "copy", "--insecure-policy", "--src-tls-verify=false"],
    ...[`docker://${registry.busybox}`, `oci:${layout}:v1`],
  ]);
  if (copied.code !== 0) throw new Error(copied.stderr);
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as {
    manifests: Array<{ digest: string }>;
  };
  digest = index.manifests[0]!.digest;
});
afterAll(async () => {
  if (!ready) return;
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

async function build(host: string, value: string, dockerfile: string) {
  const context = mkdtempSync(join(scratch, "context-"));
  writeFileSync(join(context, "Dockerfile"), dockerfile);
  mkdirSync(join(context, "out"));
  const output = join(context, "out");
  const built = await run([
    ...[...corten, "-H", host, "build", "--progress=plain", "--build-context", `base=${value}`],
    ...["--no-cache", "-o", output, context],
  ]);
  return { ...built, file: (name: string) => readFileSync(join(output, name), "utf8") };
}

const dockerfile =
  "FROM base AS run\nRUN echo ran > /ran\nFROM scratch\nCOPY --from=run /ran /\nCOPY --from=base /etc/passwd /passwd\n";

conform("an image of a layout is a base and a source, by its tag and by its digest", async () => {
  const image = await run([
    ...corten,
    "-H",
    engine.host,
    "run",
    "--rm",
    registry.busybox,
    "cat",
    "/etc/passwd",
  ]);
  for (const host of [engine.host, remote])
    for (const value of [`oci-layout://${layout}:v1`, `oci-layout://${layout}@${digest}`]) {
      const built = await build(host, value, dockerfile);
      expect(`${value} ${built.code} ${built.stderr}`).toStartWith(`${value} 0 `);
      expect(built.stderr).toContain("[context base] OCI load from client");
      expect(built.file("ran")).toBe("ran\n");
      expect(built.file("passwd")).toBe(image.stdout);
    }
});

conform("what a layout has not is told by name", async () => {
  const nothing = join(scratch, "nothing");
  const { stderr: place } = await build(engine.host, `oci-layout://${nothing}`, dockerfile);
  expect(place).toContain(
    `oci-layout reference "oci-layout://${nothing}" could not be resolved: stat ${nothing}: no such file or directory`,
  );
  const { stderr: tag } = await build(engine.host, `oci-layout://${layout}`, dockerfile);
  expect(tag).toContain("oci-layout://base:latest: the layout's index has no latest");
  const absent = `sha256:${"0".repeat(64)}`;
  const { stderr: blob } = await build(engine.host, `oci-layout://${layout}@${absent}`, dockerfile);
  expect(blob).toContain(`oci-layout://base@${absent}: the layout has no such blob`);
});

requires(
  "docker-registry",
  "skopeo",
  "ssh-agent",
  "ssh-keygen",
)("--ssh with keys in files is an agent that has them", async () => {
  const key = join(scratch, "key");
  await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "the comment", "-f", key]);
  const directory = mkdtempSync(join(scratch, "context-"));
  await copyProgram("/usr/bin/ssh-add", join(directory, "tools"));
  writeFileSync(
    join(directory, "Dockerfile"),
    `FROM ${registry.busybox} AS a\nCOPY tools /\nRUN --mount=type=ssh ssh-add -l > /said\nFROM scratch\nCOPY --from=a /said /\n`,
  );
  const out = join(directory, "out");
  const built = await run([
    ...[...corten, "-H", engine.host, "build", "--progress=plain", "--ssh", `default=${key}`],
    ...["-o", out, directory],
  ]);
  expect(`${built.code} ${built.stderr}`).toStartWith("0 ");
  expect(readFileSync(join(out, "said"), "latin1")).toContain("the comment");
});
