/** One containerd with what the lines of ctr-lines.ts need, and their answers there. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeCgroups } from "./cgroups.ts";
import { startContainerd } from "./containerd.ts";
import type { CtrLine } from "./ctr-lines.ts";
import { run } from "./engine.ts";
import { makeBusyboxRootfs, makeLayout, startTestRegistry, type TestRegistry } from "./images.ts";

export interface CtrAnswer {
  code: number;
  stdout: string;
  stderr: string;
}

/** The test registry with two images more: `multi:1` for amd64 and arm64, and `inst:1` for `ctr install`. */
export async function startCtrRegistry(): Promise<TestRegistry> {
  const registry = await startTestRegistry();
  const work = mkdtempSync(join(tmpdir(), "corten-ctr-images-"));
  try {
    const push = async (layout: string, tag: string, name: string) => {
      const target = `docker://${registry.address}/${name}`;
      const flags = ["--all", "--insecure-policy", "--dest-tls-verify=false"];
      const { code, stderr } = await run(["skopeo", "copy", ...flags, `oci:${layout}:${tag}`, target]);
      if (code !== 0) throw new Error(`skopeo: ${stderr}`);
    };
    makeBusyboxRootfs(join(work, "rootfs"));
    const multi = join(work, "multi");
    makeLayout(multi, join(work, "rootfs"), "1", {});
    makeIndex(multi);
    await push(multi, "index", "multi:1");
    const tool = join(work, "tool");
    mkdirSync(join(tool, "bin"), { recursive: true });
    mkdirSync(join(tool, "lib"));
    writeFileSync(join(tool, "bin/tool"), "#!/bin/sh\necho tool\n", { mode: 0o755 });
    writeFileSync(join(tool, "lib/x.so"), "x");
    makeLayout(join(work, "inst"), tool, "1", {});
    await push(join(work, "inst"), "1", "inst:1");
    return registry;
  } catch (error) {
    await registry[Symbol.asyncDispose]();
    throw error;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Adds the same image for arm64, and an index of both under the name `index`. */
function makeIndex(layout: string): void {
  const file = (digest: string) => join(layout, "blobs/sha256", digest.replace("sha256:", ""));
  const read = (digest: string) => JSON.parse(readFileSync(file(digest), "utf8"));
  const put = (value: unknown) => {
    const text = JSON.stringify(value);
    const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
    writeFileSync(file(digest), text);
    return { digest, size: Buffer.byteLength(text) };
  };
  const indexFile = join(layout, "index.json");
  const { mediaType, digest, size } = JSON.parse(readFileSync(indexFile, "utf8")).manifests[0];
  const manifest = read(digest);
  const config = put({ ...read(manifest.config.digest), architecture: "arm64" });
  const other = put({ ...manifest, config: { ...manifest.config, ...config } });
  const platform = (architecture: string) => ({ os: "linux", architecture });
  const type = "application/vnd.oci.image.index.v1+json";
  const index = put({
    schemaVersion: 2,
    mediaType: type,
    manifests: [
      { mediaType, digest, size, platform: platform("amd64") },
      { mediaType, ...other, platform: platform("arm64") },
    ],
  });
  const annotations = { "org.opencontainers.image.ref.name": "index" };
  writeFileSync(
    indexFile,
    JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: type, ...index, annotations }] }),
  );
}

/** Waits for what comes a moment later; what never comes is seen by what the line says then. */
const till = `till() { n=0; until eval "$1" >/dev/null 2>&1 || [ $n -gt 300 ]; do n=$((n+1)); sleep 0.05; done; }\n`;

let worlds = 0;

/** Runs the lines one after the other; what cannot be the same is masked. */
export async function answersOf(
  kind: "corten" | "debian",
  registry: TestRegistry,
  lines: readonly CtrLine[],
): Promise<CtrAnswer[]> {
  await using containerd = await startContainerd(kind);
  const work = mkdtempSync(join(tmpdir(), "corten-ctr-"));
  const namespace = `${kind}${process.pid}x${++worlds}`;
  try {
    // Root of a user namespace has to pass.
    await run(["chmod", "711", containerd.root, work]);
    await run(["sh", "-c", `for n in net uts; do readlink /proc/self/ns/$n >${work}/host$n; done`]);
    const env = {
      // One that hangs must not take the others with it.
      C: `timeout -k 1 60 ctr -a ${containerd.socket} -n ${namespace}`,
      W: work,
      N: namespace,
      B: registry.busybox,
      M: `${registry.address}/multi:1`,
      R: registry.address,
    };
    const mask = (text: string) =>
      text
        .replaceAll(work, "$W")
        .replaceAll(namespace, "$N")
        .replaceAll(containerd.root, "$ROOT")
        .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z?/g, "TIME")
        .replace(/time="[^"]*"/g, "TIME")
        // ctr's progress bar asks on while it is being ended: by chance.
        .replace(/^TIME level=error msg="[^"]*" error="context canceled"\n/gm, "");
    const answers: CtrAnswer[] = [];
    for (const { line } of lines) {
      const { code, stdout, stderr } = await run(["sh", "-c", till + line], { env, timeout: 120_000 });
      answers.push({ code, stdout: mask(stdout), stderr: mask(stderr) });
    }
    return answers;
  } finally {
    // What the lines name begins with the namespace, and so does what runtimes make of that.
    removeCgroups(namespace);
    rmSync(work, { recursive: true, force: true });
  }
}

/** What a line's answers are compared by; the same text means the same answer. */
export function compared(line: CtrLine, { code, stdout, stderr }: CtrAnswer): string {
  if (line.compare === "no") return "";
  if (line.compare === "code") return `exit ${code}`;
  const text = line.sorted ? stdout.split("\n").sort().join("\n") : stdout;
  return `exit ${code}\n${text}${line.compare === "stdout" ? "" : stderr}`;
}
