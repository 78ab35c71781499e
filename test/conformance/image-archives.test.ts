/**
 * What containers become and images travel as: diff, commit, export, import, save, load, and what a registry says.
 * The real docker CLI, skopeo, dockerd 20.10's archives, and a foreign containerd are at the other ends.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EntryLike, tarOf } from "../../src/archive/tar/index.ts";
import { startContainerd, type TestContainerd } from "../helpers/containerd.ts";
import { password, startDockerRegistry, user } from "../helpers/docker-registry.ts";
import { corten, type Engine, type Output, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const conform = requires("docker", "docker-registry", "skopeo", "containerd");
const ready = ["docker", "docker-registry", "skopeo", "containerd"].every((one) => Bun.which(one));

let registry: TestRegistry;
let real: TestContainerd;
let scratch: string;
const engines: Record<string, Engine> = {};

beforeAll(async () => {
  if (!ready) return;
  scratch = mkdtempSync(join(tmpdir(), "corten-archives-"));
  registry = await startTestRegistry();
  real = await startContainerd("debian");
  engines["our containerd"] = await startEngine();
  engines["the real containerd"] = await startEngine(["--containerd", real.socket]);
  for (const engine of Object.values(engines)) {
    await must(engine, "pull", "-q", registry.busybox);
    await must(engine, "tag", registry.busybox, "busybox:1");
  }
});
afterAll(async () => {
  if (!ready) return;
  for (const engine of Object.values(engines)) await engine[Symbol.asyncDispose]();
  await real?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

const must = async (engine: Engine, ...argv: string[]): Promise<string> => {
  const result = await engine.docker(...argv);
  if (result.code !== 0) throw new Error(`docker ${argv.join(" ")}: ${result.stderr}`);
  return result.stdout;
};
const sh = (command: string): Promise<Output> => run(["sh", "-c", command]);
const api = async (engine: Engine, method: string, path: string, body?: Uint8Array | string, more = {}) => {
  const response = await fetch(`http://x${path}`, {
    unix: engine.socket,
    method,
    ...(body === undefined ? {} : { body, headers: { "content-type": "application/x-tar" } }),
    ...more,
  });
  return { status: response.status, text: await response.text() };
};
const script =
  "mkdir /made; echo hi > /made/f; echo z >> /etc/passwd; rm /etc/group; echo q > /tmp/q; ln -s a /lnk; chmod 700 /root";

for (const where of ["our containerd", "the real containerd"]) {
  const here = () => engines[where]!;

  conform(`changes, commit and export of a container, on ${where}`, async () => {
    const engine = here();
    await must(engine, "create", "--name", "work", "-e", "A=1", "-l", "x=y", "busybox:1", "sh", "-c", script);
    expect(await api(engine, "GET", "/containers/work/changes")).toEqual({ status: 200, text: "null\n" });
    await must(engine, "start", "-a", "work");
    // The list is dockerd 20.10's for the same commands.
    const expected =
      "C /etc\nD /etc/group\nC /etc/passwd\nA /lnk\nA /made\nA /made/f\nC /root\nC /tmp\nA /tmp/q\n";
    expect(await must(engine, "diff", "work")).toBe(expected);
    expect((await engine.corten("diff", "work")).stdout).toBe(expected);

    const id = JSON.parse(await must(engine, "inspect", "busybox:1"))[0].Id;
    const change = ["-c", 'CMD ["ls", "/made"]', "-c", "ENV B=$A-2", "-c", "LABEL c=d", "-c", "EXPOSE 80"];
    for (const client of [engine.docker, engine.corten]) {
      const made = await client("commit", "-m", "note", "-a", "me", ...change, "work", "made:1");
      expect(made).toMatchObject({ code: 0, stderr: "" });
      expect(made.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
      const inspected = JSON.parse(await must(engine, "inspect", "made:1"))[0];
      expect(inspected).toMatchObject({ Id: made.stdout.trim(), Author: "me", Comment: "note", Parent: id });
      expect(inspected.Config).toMatchObject({
        Env: expect.arrayContaining(["A=1", "B=1-2"]),
        Cmd: ["ls", "/made"],
        Labels: { c: "d", x: "y" },
        ExposedPorts: { "80/tcp": {} },
      });
      expect(inspected.RootFS.Layers).toHaveLength(2);
      expect(await must(engine, "run", "--rm", "made:1")).toBe("f\n");
      expect(
        await must(
          engine,
          "run",
          "--rm",
          "made:1",
          "sh",
          "-c",
          "readlink /lnk; ls /etc/group; stat -c %a /root",
        ),
      ).toBe("a\n700\n");
      await must(engine, "rmi", "made:1");
    }
    for (const [query, status, message] of [
      ["container=nosuch", 404, "No such container: nosuch"],
      ["container=work&changes=RUN%20ls", 400, "run is not a valid change command"],
      ["container=work&changes=FOO%20ls", 400, "foo is not a valid change command"],
      ["container=work&repo=BAD", 400, "invalid reference format: repository name must be lowercase"],
    ] as const) {
      const refused = await api(engine, "POST", `/commit?${query}`);
      expect([refused.status, JSON.parse(refused.text).message]).toEqual([status, message]);
    }

    const names = (file: string) => sh(`tar -tf ${file} | grep -v ^bin/`).then(({ stdout }) => stdout);
    const [theirs, ours] = [join(scratch, "theirs.tar"), join(scratch, "ours.tar")];
    await must(engine, "export", "-o", theirs, "work");
    expect((await engine.corten("export", "-o", ours, "work")).code).toBe(0);
    expect(readFileSync(ours).equals(readFileSync(theirs))).toBe(true);
    expect(await names(ours)).toBe(
      ".dockerenv dev/ dev/console dev/pts/ dev/shm/ etc/ etc/hostname etc/hosts etc/mtab etc/passwd etc/resolv.conf lnk made/ made/f proc/ root/ sys/ tmp/ tmp/q usr/ var/"
        .split(" ")
        .join("\n")
        .concat("\n"),
    );
    expect((await sh(`tar -xOf ${ours} etc/passwd | tail -1`)).stdout).toBe("z\n");
    await must(engine, "rm", "work");
  });

  conform(
    `a running container is committed and exported as it is, paused meanwhile, on ${where}`,
    async () => {
      const engine = here();
      await must(
        engine,
        "run",
        "-d",
        "--name",
        "busy",
        "-v",
        "archives:/vol",
        "busybox:1",
        "sh",
        "-c",
        "echo in > /vol/x; echo in > /x; sleep 600",
      );
      await until(
        "the file",
        async () => (await engine.docker("exec", "busy", "cat", "/x")).stdout === "in\n",
      );
      await must(engine, "commit", "busy", "busy:1");
      expect(await must(engine, "inspect", "-f", "{{.State.Status}}", "busy")).toBe("running\n");
      expect(await must(engine, "run", "--rm", "busy:1", "sh", "-c", "cat /x; ls /vol | wc -l")).toBe(
        "in\n0\n",
      );
      // Volumes and what is mounted are no part of it.
      const exported = await sh(`docker -H ${engine.host} export busy | tar -t`);
      expect(exported.stdout.split("\n").filter((name) => /^(x|vol\/.*|proc\/.+)$/.test(name))).toEqual([
        "vol/",
        "x",
      ]);
      await must(engine, "rm", "-fv", "busy");
      await must(engine, "volume", "rm", "archives");
      await must(engine, "rmi", "busy:1");
    },
  );

  conform(`import makes an image of a tar, compressed or not, on ${where}`, async () => {
    const engine = here();
    await must(engine, "create", "--name", "root", "busybox:1");
    const plain = join(scratch, "root.tar");
    await must(engine, "export", "-o", plain, "root");
    await must(engine, "rm", "root");
    for (const [pack, index] of [
      ["cat", 0],
      ["gzip -1", 1],
      ["xz -0", 2],
      ["bzip2 -1", 3],
    ] as const) {
      const client = index % 2 === 0 ? `docker -H ${engine.host}` : `${corten.join(" ")} -H ${engine.host}`;
      const made = await sh(
        `${pack} < ${plain} | ${client} import -c 'CMD ["cat", "/etc/hostname"]' -c "ENV X=y" -m msg - imported:${index}`,
      );
      expect(made).toMatchObject({ code: 0, stderr: "" });
      expect(made.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
      const format = "{{json .Config.Cmd}} {{json .Config.Env}} {{.Comment}} {{len .RootFS.Layers}} {{.Os}}";
      expect(await must(engine, "inspect", "-f", format, `imported:${index}`)).toBe(
        '["cat","/etc/hostname"] ["X=y"] msg 1 linux\n',
      );
      expect(await must(engine, "run", "--rm", "--hostname", "it", `imported:${index}`)).toBe("it\n");
      await must(engine, "rmi", `imported:${index}`);
    }
    const refused = await api(engine, "POST", "/images/create?fromSrc=-&repo=x", "no tar at all".repeat(100));
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect((await engine.docker("inspect", "x")).code).toBe(1);
  });

  conform(
    `what is saved is read by docker, skopeo and us, and comes back with its id, on ${where}`,
    async () => {
      const engine = here();
      const id = (await must(engine, "inspect", "-f", "{{.Id}}", "busybox:1")).trim();
      await must(engine, "tag", "busybox:1", "busybox:two");
      const [theirs, ours] = [join(scratch, "saved.tar"), join(scratch, "saved-by-us.tar")];
      await must(engine, "save", "-o", theirs, "busybox");
      expect((await engine.corten("save", "-o", ours, "busybox")).code).toBe(0);
      expect(readFileSync(ours).equals(readFileSync(theirs))).toBe(true);
      const manifest = JSON.parse((await sh(`tar -xOf ${ours} manifest.json`)).stdout);
      expect(manifest[0].RepoTags.sort()).toEqual(["busybox:1", "busybox:two"]);
      for (const source of [`docker-archive:${ours}:busybox:1`, `oci-archive:${ours}:1`]) {
        const copied = await run(["skopeo", "inspect", "--config", "--raw", source]);
        expect(copied.stderr).toBe("");
        expect(`sha256:${new Bun.CryptoHasher("sha256").update(copied.stdout).digest("hex")}`).toBe(id);
      }
      const old = join(scratch, "old.tar");
      rmSync(old, { force: true });
      // The layout of Docker before 25: layer.tar in directories, uncompressed.
      const made = await run([
        "skopeo",
        "copy",
        "--insecure-policy",
        `oci-archive:${ours}:1`,
        `docker-archive:${old}:busybox:old`,
      ]);
      expect(made.stderr).toBe("");
      const oci = join(scratch, "oci.tar");
      rmSync(oci, { force: true });
      expect(
        (
          await run([
            "skopeo",
            "copy",
            "--insecure-policy",
            `oci-archive:${ours}:1`,
            `oci-archive:${oci}:busybox:oci`,
          ])
        ).stderr,
      ).toBe("");
      for (const [archive, name, pack] of [
        [ours, "busybox:two", "cat"],
        [old, "busybox:old", "cat"],
        [old, "busybox:old", "gzip -1"],
        [oci, "busybox:oci", "zstd -q"],
      ] as const)
        for (const client of [`docker -H ${engine.host}`, `${corten.join(" ")} -H ${engine.host}`]) {
          await engine.docker("rmi", "-f", "busybox:1", "busybox:two", registry.busybox);
          const loaded = await sh(`${pack} < ${archive} | ${client} load`);
          expect(loaded).toMatchObject({ code: 0, stderr: "" });
          expect(loaded.stdout).toContain(`Loaded image: ${name}\n`);
          expect((await must(engine, "inspect", "-f", "{{.Id}}", name)).trim()).toBe(id);
          expect(await must(engine, "run", "--rm", name, "echo", "works")).toBe("works\n");
          await must(engine, "tag", name, "busybox:1");
          if (name !== "busybox:two") await must(engine, "rmi", name);
        }
      // By id it has no name, and comes back without one.
      await must(engine, "save", "-o", ours, id);
      expect(JSON.parse((await sh(`tar -xOf ${ours} manifest.json`)).stdout)[0].RepoTags).toBeNull();
      expect(await must(engine, "load", "-i", ours)).toBe(`Loaded image ID: ${id}\n`);
      expect(await api(engine, "GET", "/images/nosuch/get")).toEqual({
        status: 404,
        text: '{"message":"No such image: nosuch"}\n',
      });
      await must(engine, "tag", "busybox:1", registry.busybox);
    },
  );
}

conform("archives that are tricks or broken are refused, and leave nothing", async () => {
  const engine = engines["our containerd"]!;
  const content = () =>
    sh(`find ${join(engine.root, "lib/containerd")} -path '*blobs*' -type f | wc -l`).then(({ stdout }) =>
      Number(stdout),
    );
  const before = await content();
  const layer = tarOf({ path: "f", data: "x" });
  const diffId = `sha256:${new Bun.CryptoHasher("sha256").update(layer).digest("hex")}`;
  const config = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [diffId] },
  });
  const image = (manifest: unknown, ...more: EntryLike[]) =>
    tarOf({ path: "config.json", data: config }, { path: "a/layer.tar", data: layer }, ...more, {
      path: "manifest.json",
      data: JSON.stringify(manifest),
    });
  const entry = { Config: "config.json", RepoTags: ["trick:1"], Layers: ["a/layer.tar"] };
  const load = async (bytes: Uint8Array) => (await api(engine, "POST", "/images/load?quiet=1", bytes)).text;
  expect(await load(image([entry]))).toContain("Loaded image: trick:1");
  await must(engine, "rmi", "trick:1");
  // An old Docker's second image whose layer is a link to the first one's.
  const link = { path: "b/layer.tar", type: "symlink" as const, linkPath: "../a/layer.tar" };
  expect(await load(image([{ ...entry, Layers: ["b/layer.tar"] }], link))).toContain("Loaded image: trick:1");
  await must(engine, "rmi", "trick:1");
  const zeros = "0".repeat(64);
  for (const [bytes, reason] of [
    [image([entry], { path: "../../etc/passwd", data: "x" }), "leads out"],
    [image([{ ...entry, Layers: ["../../../etc/passwd"] }]), "leads out"],
    [
      image([{ ...entry, Layers: ["b/layer.tar"] }], { ...link, linkPath: "../../../etc/passwd" }),
      "leads out",
    ],
    [image([{ ...entry, Layers: ["b/layer.tar"] }], { ...link, linkPath: "../b/layer.tar" }), "no such file"],
    [image([{ ...entry, Config: "/etc/passwd" }]), "no such file"],
    [image([{ ...entry, Layers: [] }]), "layers length mismatch"],
    [image([{ ...entry, RepoTags: ["BAD NAME"] }]), "invalid tag"],
    [image([entry], { path: `blobs/sha256/${zeros}`, data: "other" }), "has the digest"],
    [image("text"), "no list of images"],
    [image([entry]).subarray(0, 2000), "ends in the middle"],
    [tarOf({ path: "nothing", data: "x" }), "holds no images"],
    [new TextEncoder().encode("no tar at all".repeat(100)), "tar header"],
    [tarOf({ path: "dev", type: "char" }), "is no file"],
  ] as const) {
    const text = await load(bytes);
    expect(text).toContain('"errorDetail"');
    expect(text).toContain(reason);
  }
  const other = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [`sha256:${zeros}`] },
  });
  expect(
    await load(
      tarOf(
        { path: "c", data: other },
        { path: "l", data: layer },
        {
          path: "manifest.json",
          data: JSON.stringify([{ Config: "c", RepoTags: ["trick:1"], Layers: ["l"] }]),
        },
      ),
    ),
  ).toContain("wrong diff id");
  expect((await engine.docker("inspect", "trick:1")).code).toBe(1);
  await until("the garbage to go", async () => (await content()) <= before, 60);
});

conform("a daemon killed while it loads leaves no garbage", async () => {
  const engine = engines["our containerd"]!;
  const content = () =>
    sh(`find ${join(engine.root, "lib/containerd")} -type f | grep -c -E 'blobs|ingest' || true`).then(
      ({ stdout }) => Number(stdout),
    );
  const before = await content();
  const big = join(scratch, "big.tar");
  mkdirSync(join(scratch, "big"), { recursive: true });
  writeFileSync(join(scratch, "big/a"), new Uint8Array(8 << 20).fill(1));
  await sh(`tar -C ${join(scratch, "big")} -cf ${big} a`);
  // The archive never comes to its end: what was taken in is there when the daemon dies.
  const over = join(scratch, "over");
  const wait = `until [ -e ${over} ]; do sleep 0.1; done`;
  const loading = sh(`(cat ${big} | head -c 8000000; ${wait}) | docker -H ${engine.host} load`);
  try {
    await until("content to be taken in", async () => (await content()) > before);
    await engine.restart();
  } finally {
    writeFileSync(over, "");
  }
  await loading;
  await until("the garbage to go", async () => (await content()) <= before, 60);
});

conform("GET /distribution tells what a registry has, without pulling it", async () => {
  const engine = engines["our containerd"]!;
  await using secret = await startDockerRegistry({ auth: "basic" });
  const seen = await api(engine, "GET", `/distribution/${registry.busybox}/json`);
  expect(seen.status).toBe(200);
  const told = JSON.parse(seen.text);
  const digest = JSON.parse(await must(engine, "inspect", registry.busybox))[0].RepoDigests[0].split("@")[1];
  expect(told.Descriptor).toMatchObject({ digest, mediaType: "application/vnd.oci.image.manifest.v1+json" });
  expect(told.Platforms).toEqual([{ architecture: "amd64", os: "linux" }]);
  expect((await api(engine, "GET", `/distribution/${registry.address}/nosuch:1/json`)).status).toBe(404);
  expect((await api(engine, "GET", "/distribution/BAD/json")).status).toBe(400);
  const inside = `/distribution/${secret.host}/private/x:1/json`;
  expect((await api(engine, "GET", inside)).status).toBe(401);
  const auth = Buffer.from(JSON.stringify({ username: user, password })).toString("base64url");
  expect((await api(engine, "GET", inside, undefined, { headers: { "x-registry-auth": auth } })).status).toBe(
    404,
  );
});
