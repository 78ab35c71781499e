/** Flags as buildx reads them: the values, and its words for what is wrong. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BuildBody } from "../../engine/types.ts";
import { Cli } from "../cli.ts";
import { parseFlags } from "../flags/parse.ts";
import { defaults } from "../main.ts";
import { agentsOf, openAgents } from "./agents.ts";
import { callOf } from "./call.ts";
import { findSource, isArchive, isGitSsh, isRemote } from "./context.ts";
import { type BuildValues, buildFlags } from "./flags.ts";
import { outputsOf } from "./outputs.ts";
import { bodyOf } from "./request.ts";
import { metadataOf } from "./run.ts";
import { secretsOf } from "./secrets.ts";

let directory: string;
let agent: Server;
beforeAll(async () => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "corten-build-flags-")));
  for (const name of ["context", "context/sub", "other", "config"]) mkdirSync(join(directory, name));
  writeFileSync(join(directory, "secret"), "s3cret");
  writeFileSync(join(directory, "big"), Buffer.alloc((500 << 10) + 1));
  writeFileSync(join(directory, "context/Dockerfile"), "FROM scratch\n");
  writeFileSync(join(directory, "config/config.json"), '{"proxies":{"default":{"httpProxy":"http://p"}}}');
  symlinkSync("context", join(directory, "link"));
  agent = createServer();
  await new Promise<void>((done) => agent.listen(join(directory, "agent.sock"), done));
});
afterAll(() => {
  agent.close();
  rmSync(directory, { recursive: true, force: true });
});

const valuesOf = (...argv: string[]): BuildValues =>
  parseFlags(
    buildFlags,
    argv.map((one) => one.replaceAll("%", directory)),
  ).values;
const cli = () => new Cli("corten", { ...defaults(), config: join(directory, "config") });
const body = (...argv: string[]): BuildBody => {
  const values = valuesOf(...argv);
  const context = { kind: "directory", path: join(directory, "context") } as const;
  agentsOf(values.ssh, context);
  return bodyOf(cli(), values, { context }, outputsOf(cli(), values), "unix:///x", {});
};
/** What the command line ends with. */
async function problem(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    return (error as Error).message.replaceAll(directory, "%");
  }
  return "nothing";
}

describe("texts for what is wrong", () => {
  const cases: Array<[argv: string[], text: string]> = [
    [["--build-arg", "=x"], 'invalid key-value pair "=x": empty key'],
    [["--label", "=x"], 'invalid key-value pair "=x": empty key'],
    [["--build-context", "x"], "invalid context value: x, expected key=value"],
    [["--build-context", "UP=x"], /^invalid context name UP: /.source],
    [
      ["--build-context", "a=%/none"],
      "failed to build: failed to get build context a: stat %/none: no such file or directory",
    ],
    [
      ["--no-cache", "--no-cache-filter", "a"],
      "failed to build: --no-cache and --no-cache-filter cannot currently be used together",
    ],
    [["--add-host", "nope"], "failed to build: invalid host nope"],
    [["--add-host", "a:1.2.3"], "failed to build: invalid host a:1.2.3"],
    [["--allow", "all"], "failed to build: unknown entitlement all"],
    [["--cache-from", "type="], 'type required for "type="'],
    [["--cache-to", "dest=x"], 'type required for "dest=x"'],
    [["--attest", "mode=max"], "attestation type not specified"],
    [["--attest", "type=sbom,x"], "invalid value x"],
    [["-o", "dest=x,a=b"], "type is required for output"],
    [["-o", "type=local"], "dest is required for local exporter"],
    [["-o", "type=local,dest=-"], "dest cannot be stdout for local exporter"],
    [["-o", "type=local,dest=%/secret"], "destination directory %/secret is a file"],
    [["-o", "type=local,dest=x,mode=move"], 'invalid local exporter mode "move"'],
    [
      ["-o", "type=local,dest=%/x,mode=delete"],
      'local output mode=delete for destination "%/x" requires --allow=buildx.local.delete',
    ],
    [
      ["-o", "type=local,dest=.,mode=Delete"],
      'local output mode=delete for destination "." requires --allow=buildx.local.delete',
    ],
    [["-o", "type=tar,dest=%/other"], "destination file %/other is a directory"],
    [["-o", "-", "-o", "type=oci"], "multiple outputs configured to write to stdout"],
    [
      ["-o", "type=local,dest=%/x", "--iidfile", "%/i"],
      "local and tar exporters are incompatible with image ID file",
    ],
    [["--push"], "tag is needed when pushing to registry"],
    [["--annotation", "x"], 'parse annotations: invalid annotation "x", expected key=value'],
    [["--annotation", "what:a=b"], 'parse annotations: unknown annotation type "what"'],
    [["--secret", "x"], "invalid field 'x' must be a key=value pair"],
    [["--secret", "id=a,what=b"], "unexpected key 'what' in 'what=b'"],
    [["--secret", "id=a,type=x"], 'unsupported secret type "x"'],
    [["--secret", "src=x"], "failed to build: secret missing ID"],
    [
      ["--secret", "id=a,src=%/none"],
      "failed to build: failed to stat %/none: stat %/none: no such file or directory",
    ],
    [["--secret", "id=a,src=%/big"], "failed to build: secret a too big. max size 500KiB"],
    [["--ssh", "a=%/agent.sock", "--ssh", "a=%/agent.sock"], 'failed to build: duplicate agent ID "a"'],
    [["--resource", "x"], 'failed to build: invalid resource "x", expected key=value'],
    [["--resource", "x=1"], 'failed to build: unknown resource "x"'],
    [
      ["-c", "many"],
      'failed to build: invalid value "many" for resource cpu-shares: strconv.ParseInt: parsing "many": invalid syntax',
    ],
    [["-t", "UP:1"], /^failed to build: invalid tag "UP:1": /.source],
  ];
  for (const [argv, text] of cases)
    test(argv.join(" "), async () => {
      const found = await problem(() => body(...argv));
      if (text.startsWith("^")) expect(found.replace(/^ERROR: /, "")).toMatch(new RegExp(text));
      else expect(found.replace("failed to build: dest", "dest")).toBe(`ERROR: ${text}`);
    });
});

test("values from the environment, and proxies of the configuration unless they are given", () => {
  process.env["CORTEN_TEST_ARG"] = "from env";
  try {
    const { buildArgs } = body(
      "--build-arg",
      "CORTEN_TEST_ARG",
      "--build-arg",
      "NOT_SET_ANYWHERE",
      "--build-arg",
      "Http_Proxy=own",
      "--build-arg",
      "a=b=c",
    );
    expect(buildArgs).toEqual({ CORTEN_TEST_ARG: "from env", Http_Proxy: "own", a: "b=c" });
    expect(body().buildArgs).toEqual({ HTTP_PROXY: "http://p", http_proxy: "http://p" });
  } finally {
    delete process.env["CORTEN_TEST_ARG"];
  }
});

test("what goes to the daemon", () => {
  expect(
    body(
      ...["--label", "a=b", "--label", "bare", "--platform", "linux/amd64,linux/arm64", "--network", "host"],
      ...[
        "--add-host",
        "h=1.2.3.4,[::1]",
        "--add-host",
        "g:host-gateway",
        "--build-context",
        "context=%/other",
      ],
      ...["--build-context", "lay=oci-layout://%/other:v1", "--build-context"],
      ...["img:latest=docker-image://busybox", "--cache-from", "a,b", "--cache-to"],
      ...[
        "type=local,dest=/c,mode=max",
        "--sbom=false",
        "--provenance",
        "mode=min",
        "-m",
        "1g",
        "--memory-swap",
      ],
      ...["-1", "--resource", "cpu-quota=5", "--no-cache-filter", "a,b", "--ulimit", "nofile=1:2"],
    ),
  ).toMatchObject({
    labels: { a: "b", bare: "" },
    platforms: ["linux/amd64", "linux/arm64"],
    network: "host",
    entitlements: ["network.host"],
    extraHosts: ["h:1.2.3.4", "h:::1", "g:host-gateway"],
    namedContexts: {
      context: "local:_context",
      lay: "oci-layout://lay:v1",
      img: "docker-image://busybox",
    },
    cacheFrom: [
      { type: "registry", attributes: { ref: "a" } },
      { type: "registry", attributes: { ref: "b" } },
    ],
    cacheTo: [{ type: "local", attributes: { dest: "/c", mode: "max" } }],
    attestations: { provenance: { mode: "min" } },
    resources: { memory: 2 ** 30, memorySwap: -1, cpuQuota: 5 },
    noCacheFilter: ["a", "b"],
    ulimits: [{ name: "nofile", soft: 1, hard: 2 }],
  });
});

test("a secret is a file, a variable, or what bears its name", () => {
  const text = (spec: string, env: Record<string, string> = {}) =>
    Object.fromEntries(
      Object.entries(secretsOf([spec.replaceAll("%", directory)], env)).map(([id, bytes]) => [
        id,
        Buffer.from(bytes).toString(),
      ]),
    );
  expect(text("id=a,src=%/secret")).toEqual({ a: "s3cret" });
  expect(text("ID=a,Source=%/secret,type=file")).toEqual({ a: "s3cret" });
  expect(text("id=a,env=TOKEN", { TOKEN: "t" })).toEqual({ a: "t" });
  expect(text("type=env,id=a,src=TOKEN", { TOKEN: "t" })).toEqual({ a: "t" });
  expect(text("id=TOKEN", { TOKEN: "t" })).toEqual({ TOKEN: "t" });
  expect(text("id=%/secret")).toEqual({ [`${directory}/secret`]: "s3cret" });
  expect(text('id=a,"src=%/secret"')).toEqual({ a: "s3cret" });
});

test("agents' sockets, that of the environment by default", async () => {
  const socket = join(directory, "agent.sock");
  const of = (list: string[], env: Record<string, string> = {}) => agentsOf(list, undefined, env);
  expect(of(["default"], { SSH_AUTH_SOCK: socket })).toEqual({ default: { socket } });
  expect(of([`k=${socket}`])).toEqual({ k: { socket } });
  expect(of([`k=${directory}/secret,${directory}/big`])).toEqual({
    k: { keys: [`${directory}/secret`, `${directory}/big`] },
  });
  expect(await problem(() => of(["default"]))).toEndWith(
    'for ID: "default": invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set',
  );
  expect(await problem(() => of([`k=${socket},${socket}`]))).toEndWith("only single socket allowed");
  expect(await problem(() => of([`k=${directory}/secret,${socket}`]))).toEndWith(
    "invalid combination of keys and sockets",
  );
});

test("git by SSH takes the agent of the environment unasked", () => {
  const env = { SSH_AUTH_SOCK: join(directory, "agent.sock") };
  const remote = { kind: "remote", url: "git@example.org:a/b.git" } as const;
  expect(agentsOf([], remote, env)).toEqual({ default: { socket: env.SSH_AUTH_SOCK } });
  expect(agentsOf([], remote, {})).toEqual({});
  expect(agentsOf([], { kind: "remote", url: "https://example.org/a.git" }, env)).toEqual({});
});

(Bun.which("ssh-keygen") && Bun.which("ssh-agent") ? test : test.skip)(
  "keys in files get an agent of their own, which ends with the build",
  async () => {
    const [one, two, locked] = ["one", "two", "locked"].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    for (const [path, phrase] of [
      [one, ""],
      [two, ""],
      [locked, "phrase"],
    ] as const)
      Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-C", path, "-f", path]);
    let place = "";
    {
      using agents = await openAgents(agentsOf([`a=${one},${two}`], undefined, {}));
      place = agents.sockets["a"]!;
      const { stdout } = Bun.spawnSync(["ssh-add", "-l"], { env: { ...process.env, SSH_AUTH_SOCK: place } });
      expect(stdout.toString()).toContain(`${one} (ED25519)`);
      expect(stdout.toString()).toContain(`${two} (ED25519)`);
    }
    expect(existsSync(place)).toBe(false);
    for (const path of [locked, join(directory, "secret")])
      expect(await problem(() => openAgents({ a: { keys: [path] } }))).toContain(
        `failed to parse ${path.replace(directory, "%")}: `,
      );
  },
);

test("outputs in all forms", () => {
  const shape = (...argv: string[]) =>
    outputsOf(cli(), valuesOf(...argv)).map(({ type, attributes, place }) => [
      type,
      attributes,
      place !== undefined,
    ]);
  expect(shape()).toEqual([]);
  expect(shape("-o", "%/new")).toEqual([["local", {}, true]]);
  expect(shape("-o", "-")).toEqual([["tar", {}, true]]);
  const deleting = ["-o", "type=local,dest=%/new,mode=delete"];
  expect(shape(...deleting, "--allow", "buildx.local.delete")).toEqual([["local", { mode: "delete" }, true]]);
  expect(shape("-o", "type=local,dest=below/here,mode=delete")).toEqual([
    ["local", { mode: "delete" }, true],
  ]);
  expect(shape("-o", "type=oci,tar=false,dest=%/new")).toEqual([["oci", { tar: "true" }, true]]);
  expect(shape("-o", "type=docker")).toEqual([["docker", {}, false]]);
  expect(shape("-o", "type=registry", "-t", "x")).toEqual([["image", { push: "true" }, false]]);
  expect(shape("--push", "-t", "x", "--load")).toEqual([
    ["image", { push: "true" }, false],
    ["docker", {}, false],
  ]);
  expect(shape("--load", "-o", "type=docker")).toEqual([["docker", {}, false]]);
  expect(shape("--annotation", "a=b", "--annotation", "index,manifest[linux/amd64]:c=d=e")).toEqual([
    [
      "image",
      { "annotation.a": "b", "annotation-index.c": "d=e", "annotation-manifest[linux/amd64].c": "d=e" },
      false,
    ],
  ]);
});

test("questions", async () => {
  const of = (call: string, check = false) => callOf({ call, check });
  expect(of("build")).toBeUndefined();
  expect(of("build", true)).toMatchObject({ name: "lint", format: "" });
  expect(of("check,format=json,ignorestatus=true")).toEqual({
    name: "lint",
    format: "json",
    ignoreStatus: true,
  });
  expect(of("outline")).toMatchObject({ name: "outline" });
  expect(await problem(() => of("a,b"))).toBe("ERROR: invalid print value: a,b");
  expect(await problem(() => of("a,x=y"))).toBe("ERROR: invalid print field: x=y");
});

describe("contexts", () => {
  async function* pipe(...pieces: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
    for (const piece of pieces) yield Buffer.from(piece as string);
  }
  const source = (argument: string, file = "", ...input: (string | Uint8Array)[]) =>
    findSource(argument.replaceAll("%", directory), file.replaceAll("%", directory), () => pipe(...input));

  test("a directory, through links, with a Dockerfile inside, below or outside of it", async () => {
    const context = { kind: "directory", path: join(directory, "context") } as const;
    expect(await source("%/link")).toEqual({ context });
    expect(await source("%/context", "%/link/sub/D")).toEqual({ context, filename: "sub/D" });
    expect(await source("%/context", "%/other/D")).toEqual({
      context,
      filename: "D",
      dockerfileDirectory: join(directory, "other"),
    });
    expect(await source("%/context", "-", "FROM x")).toEqual({ context, dockerfile: Buffer.from("FROM x") });
  });

  test("stdin is an archive by its first bytes, or a Dockerfile", async () => {
    const tar = Bun.spawnSync(["tar", "-C", join(directory, "context"), "-cf", "-", "."]).stdout;
    const old = Bun.spawnSync([
      "tar",
      "-C",
      join(directory, "context"),
      "--format=v7",
      "-cf",
      "-",
      ".",
    ]).stdout;
    for (const archive of [tar, old, Bun.gzipSync(new Uint8Array(tar))]) {
      const found = await source("-", "", archive.subarray(0, 100), archive.subarray(100));
      if (found.context.kind !== "archive") throw new Error(found.context.kind);
      const pieces: Uint8Array[] = [];
      for await (const piece of found.context.bytes) pieces.push(piece);
      expect(Buffer.concat(pieces).equals(archive)).toBe(true);
    }
    expect((await source("-", "", "FROM ", "scratch\n")).context).toEqual({
      kind: "dockerfile",
      text: Buffer.from("FROM scratch\n"),
    });
    expect((await source("-", "", `FROM scratch\n${"# comment\n".repeat(100)}`)).context.kind).toBe(
      "dockerfile",
    );
    expect(isArchive(Buffer.alloc(1024))).toBe(true);
  });

  test("what there is not", async () => {
    expect(await problem(() => source(""))).toContain("please specify build context");
    expect(await problem(() => source("%/none"))).toBe(
      'ERROR: failed to build: unable to prepare context: path "%/none" not found',
    );
    expect(await problem(() => source("%/secret"))).toContain('path "%/secret" not found');
    expect(await problem(() => source("-", "-"))).toContain(
      "can't use stdin for both build context and dockerfile",
    );
    expect(await problem(() => source("-", "x", "FROM y"))).toContain(
      "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles",
    );
    expect(await problem(() => source("%/context", "%/none/D"))).toBe(
      "ERROR: failed to build: resolve : lstat %/none: no such file or directory",
    );
    expect(await problem(() => source("-", "", "x".repeat(3_000_000)))).toContain("bigger than allowed");
  });

  test("addresses", async () => {
    for (const url of [
      "https://x/y.git#b",
      "http://x/t.tar",
      "git://x/y",
      "git@github.com:a/b.git",
      "ssh://x/y",
      "github.com/a/b",
    ])
      expect([url, isRemote(url)]).toEqual([url, true]);
    for (const path of ["./x", "/x/y", "x@y", "github.com", "a:b"])
      expect([path, isRemote(path)]).toEqual([path, false]);
    expect([isGitSsh("git@h:a/b"), isGitSsh("ssh://h/a"), isGitSsh("https://h/a.git")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(await source("https://x/y.git", "sub/D")).toEqual({
      context: { kind: "remote", url: "https://x/y.git" },
      filename: "sub/D",
    });
    expect(await source("https://x/y.git", "%/other/D")).toMatchObject({
      filename: "D",
      dockerfileDirectory: join(directory, "other"),
    });
  });
});

test("metadata has JSON for what is JSON, in base64 too", () => {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  expect(
    metadataOf({
      "containerimage.digest": "sha256:1",
      "containerimage.descriptor": base64('{"a":1}'),
      "result.json": '{"b":[]}',
      empty: base64("{}"),
      list: base64('[{"c":1}]'),
    }),
  ).toEqual({
    "containerimage.descriptor": { a: 1 },
    "containerimage.digest": "sha256:1",
    empty: base64("{}"),
    list: [{ c: 1 }],
    "result.json": { b: [] },
  });
});
