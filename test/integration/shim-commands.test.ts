/** containerd's commands of our shim, natively and by the executable itself: both do and say the same. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { DeleteResponseSchema } from "../../proto/gen/containerd/task/v2/shim_pb.ts";
import { serveControl } from "../../src/shim/v2/control.ts";
import { withPath } from "../../src/shim/v2/install.ts";
import { corten, run, until } from "../helpers/engine.ts";
import { makeNative } from "../helpers/native.ts";

const name = "containerd-shim-corten-v2";
const idle = { CORTEN_SHIM_IDLE: "100" };
/** Only what is one executable can be found by a native program. */
const whole = corten.length === 1 ? describe : describe.skip;

let root = "";
const programs: Record<"native" | "sanitized" | "corten", string> = { native: "", sanitized: "", corten: "" };

beforeAll(() => {
  if (corten.length !== 1) return;
  root = mkdtempSync(join(tmpdir(), "corten-shimcmd-"));
  const sanitized = readFileSync(makeNative("corten-shim-asan"));
  for (const kind of ["native", "sanitized", "corten"] as const) {
    mkdirSync(join(root, kind));
    programs[kind] = join(root, kind, name);
  }
  const installed = spawnSync(corten[0]!, ["shim", "install", join(root, "native")], { encoding: "utf8" });
  if (installed.stdout !== `${programs.native}\n`) throw new Error(installed.stderr);
  writeFileSync(programs.sanitized, withPath(sanitized, corten[0]!), { mode: 0o755 });
  symlinkSync(corten[0]!, programs.corten);
});

afterAll(() => {
  if (root !== "") rmSync(root, { recursive: true, force: true });
});

/** Too little address space for a start of corten: what works is native. */
const natively = ["sh", "-c", 'ulimit -v 100000; exec "$0" "$@"'];

interface Bundle {
  path: string;
  state: string;
}

/** A bundle `id` below a state directory of its own, with these annotations. */
function makeBundle(id: string, options: { deep?: string; config?: string; state?: string } = {}): Bundle {
  const state = options.state ?? join(mkdtempSync(join(root, "s-")), options.deep ?? "");
  const path = join(state, "io.containerd.runtime.v2.task/default", id);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "config.json"), options.config ?? "{}");
  return { path, state };
}

interface Call {
  before?: string[];
  namespace?: string;
  env?: Record<string, string>;
  publish?: string;
}

function call(program: string, bundle: Bundle, action: "start" | "delete", how: Call = {}) {
  const { before = [], namespace = "default", env = {}, publish = "/nowhere/containerd" } = how;
  const flags = ["-namespace", namespace, "-address", "/nowhere/c.sock", "-publish-binary", publish];
  const last = action === "delete" ? ["-bundle", bundle.path, action] : [action];
  return run([...before, program, ...flags, "-id", "x", ...last], {
    cwd: bundle.path,
    env: { ...idle, TTRPC_ADDRESS: "/nowhere/t.sock", ...env },
  });
}

const written = ({ path }: Bundle) => ({
  address: readFileSync(join(path, "address"), "utf8"),
  pid: Number(readFileSync(join(path, "shim.pid"), "utf8")),
});

/** containerd's connection comes and goes: the server leaves. */
async function letGo(address: string): Promise<void> {
  const socket = await Bun.connect({ unix: address.slice("unix://".length), socket: { data() {} } });
  socket.end();
  await until("the server's end", () => !existsSync(dirname(address.slice("unix://".length))));
}

whole("start", () => {
  test.each([
    ["beside the bundles", {}, "default"],
    ["elsewhere when its path is too long", { deep: "long/".repeat(18) }, "default"],
    ["for a namespace that is too long for a socket", {}, "n".repeat(76)],
  ])("finds the server that the executable has started, %s", async (_, options, namespace) => {
    const bundle = makeBundle("x", options);
    const first = await call(programs.corten, bundle, "start", { namespace });
    expect(first).toMatchObject({ code: 0, stderr: "" });
    const { address, pid } = written(bundle);
    expect(first.stdout).toBe(address);
    for (const [program, before] of [
      [programs.native, natively],
      [programs.sanitized, []],
    ] as const) {
      rmSync(join(bundle.path, "address"));
      writeFileSync(join(bundle.path, "shim.pid"), "longer than a pid");
      expect(await call(program, bundle, "start", { namespace, before: [...before] })).toEqual(first);
      expect(written(bundle)).toEqual({ address, pid });
    }
    await letGo(address);
  });

  test.each(["native", "sanitized"] as const)("starts a server where there is none (%s)", async (kind) => {
    const bundle = makeBundle("x");
    const first = await call(programs[kind], bundle, "start");
    expect(first).toMatchObject({ code: 0, stderr: "" });
    const { address, pid } = written(bundle);
    expect(await call(programs.corten, bundle, "start")).toEqual(first);
    expect(written(bundle)).toEqual({ address, pid });
    process.kill(pid, 9);
    await until("its end", () => hasEnded(pid));
    expect(await call(programs[kind], bundle, "start")).toEqual(first);
    expect(written(bundle).pid).not.toBe(pid);
    const names = readdirSync(dirname(address.slice("unix://".length))).sort();
    expect(names).toEqual(["lock", "log", "n-default", "pid", "s"]);
    await letGo(address);
  });

  test("the server whose place was taken away ends, and leaves its successor's alone", async () => {
    const bundle = makeBundle("x");
    await call(programs.native, bundle, "start");
    const { address, pid } = written(bundle);
    const unix = address.slice("unix://".length);
    const client = await Bun.connect({ unix, socket: { data() {} } });
    rmSync(join(bundle.state, "corten-shim"), { recursive: true });
    await call(programs.native, bundle, "start");
    const next = written(bundle);
    expect(next.address).toBe(address);
    expect(next.pid).not.toBe(pid);
    const second = await Bun.connect({ unix, socket: { data() {} } });
    client.end();
    await until("the first one's end", () => hasEnded(pid));
    expect(await call(programs.native, bundle, "start")).toMatchObject({ stdout: address });
    expect(written(bundle).pid).toBe(next.pid);
    second.end();
    await letGo(address);
  });

  test("of many at once makes one server", async () => {
    const { state } = makeBundle("x");
    const kinds = ["native", "corten", "native", "sanitized", "native", "native"] as const;
    const bundles = kinds.map((_, index) => makeBundle(`x${index}`, { state }));
    const outcomes = await Promise.all(
      kinds.map((kind, index) => call(programs[kind], bundles[index]!, "start")),
    );
    for (const outcome of outcomes) expect(outcome).toEqual(outcomes[0]!);
    expect(outcomes[0]).toMatchObject({ code: 0, stderr: "" });
    expect(new Set(bundles.map((bundle) => written(bundle).pid)).size).toBe(1);
    await letGo(written(bundles[0]!).address);
  });

  test.each(["native", "sanitized"] as const)(
    "leaves a server that fails to the executable (%s)",
    async (kind) => {
      const bundle = makeBundle("x");
      const script = join(bundle.state, "corten");
      writeFileSync(
        script,
        '#!/bin/sh\ncase "$*" in *serve) echo "broken: $*" >&2; exit 1;; esac\necho "then $*"\n',
      );
      chmodSync(script, 0o755);
      const broken = join(bundle.state, name);
      writeFileSync(broken, withPath(readFileSync(programs[kind]), script), { mode: 0o755 });
      const outcome = await call(broken, bundle, "start");
      expect(outcome).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^then -namespace default .* start\n$/),
      });
      const place = join(bundle.state, "corten-shim");
      const log = readFileSync(join(place, readdirSync(place)[0]!, "log"), "utf8");
      expect(log).toBe(
        `broken: -socket ${join(place, readdirSync(place)[0]!, "s")} -bundle ${bundle.state} serve\n`,
      );
      expect(readdirSync(bundle.path)).toEqual(["config.json"]);
    },
  );

  test("prints the third form for a containerd of version 2, and asks its program only once", async () => {
    const bundle = makeBundle("x");
    const publish = join(bundle.state, "containerd");
    const asked = join(bundle.state, "asked");
    writeFileSync(
      publish,
      `#!/bin/sh\necho >> ${asked}\necho containerd github.com/containerd/containerd/v2 v2.1.4 abc\n`,
    );
    chmodSync(publish, 0o755);
    const env = { MAX_SHIM_VERSION: "2" };
    const outputs: string[] = [];
    for (const kind of ["corten", "native", "sanitized"] as const)
      outputs.push((await call(programs[kind], bundle, "start", { env, publish })).stdout);
    const { address } = written(bundle);
    for (const output of outputs)
      expect(JSON.parse(output)).toEqual({ version: 3, address, protocol: "ttrpc" });
    // containerd 1.6 says nothing of versions, and is not asked.
    expect((await call(programs.native, bundle, "start", { publish })).stdout).toBe(address);
    expect(readFileSync(asked, "utf8")).toBe("\n");
    await letGo(address);
  });

  test("goes to the server of the container's pod, whichever that is", async () => {
    const pod = makeBundle("pod");
    const directory = mkdtempSync(join(root, "other-"));
    const requests: unknown[] = [];
    const control = serveControl(join(directory, "s"), (request) => {
      requests.push(request);
      return 2;
    });
    try {
      writeFileSync(join(pod.path, "address"), `unix://${directory}/n-default`);
      const key = "io.kubernetes.cri.sandbox-id";
      const group = "io.containerd.runc.v2.group";
      const ours = [
        `{"annotations":{"${key}":"pod"}}`,
        `{ "process": {"args": ["\\"${key}\\":", "${key}"]},\n"annotations" : { "${key}"\n:\t"pod" } }`,
        `{"annotations":{"${key}":"nothing","${group}":"pod"}}`,
      ];
      for (const config of ours)
        for (const kind of ["corten", "native", "sanitized"] as const) {
          const bundle = makeBundle("x", { state: pod.state, config });
          const before = kind === "native" ? natively : [];
          expect(await call(programs[kind], bundle, "start", { before })).toMatchObject({
            code: 0,
            stdout: `unix://${directory}/n-default`,
          });
          expect(written(bundle).pid).toBe(process.pid);
        }
      expect(requests).toHaveLength(9);
      expect(new Set(requests.map((request) => JSON.stringify(request))).size).toBe(1);
      // These are of no pod, or of none that there is: the containerd's own server.
      const others = [
        `{"annotations":{"${key}":"../pod"}}`,
        `{"annotations":{"${key}":".pod"}}`,
        `{"annotations":{"${key}":"p\\u006fd "}}`,
        `{"annotations":{"${key}":7}}`,
        `{"annotations":{"${key}":"absent"}}`,
        `{"process":{"env":["\\"${key}\\":\\"pod\\""]}}`,
      ];
      const addresses = new Set<string>();
      for (const config of others)
        for (const kind of ["corten", "native", "sanitized"] as const) {
          const bundle = makeBundle("x", { state: pod.state, config });
          addresses.add((await call(programs[kind], bundle, "start")).stdout);
        }
      expect(addresses.size).toBe(1);
      const [address = ""] = addresses;
      expect(address).toStartWith(`unix://${pod.state}/corten-shim/`);
      expect(requests).toHaveLength(9);
      await letGo(address);
    } finally {
      control.stop(true);
    }
  });

  test("fails with the same words", async () => {
    const bundle = makeBundle("x");
    rmSync(join(bundle.path, "config.json"));
    const odd: [Call, string][] = [
      [{}, "config.json cannot be read"],
      [{ namespace: "../up" }, 'namespace "../up" is no identifier'],
      [{ namespace: "" }, "shim namespace cannot be empty"],
      [{ namespace: "a".repeat(77) }, "is no identifier"],
    ];
    for (const [how, text] of odd) {
      const outcomes = await Promise.all(
        (["corten", "native", "sanitized"] as const).map((kind) =>
          call(programs[kind], bundle, "start", how),
        ),
      );
      for (const outcome of outcomes) {
        expect(outcome.code).toBe(1);
        expect(outcome.stderr).toContain(text);
        expect(outcome).toEqual(outcomes[0]!);
      }
    }
    expect(readdirSync(bundle.path)).toEqual([]);
  });
});

function hasEnded(pid: number): boolean {
  try {
    return /\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}

whole("delete", () => {
  test("of a task that is gone says so, with the time", async () => {
    const bundle = makeBundle("x");
    for (const kind of ["corten", "native", "sanitized"] as const) {
      const flags = ["-namespace", "default", "-id", "x", "-bundle", bundle.path, "delete"];
      const before = kind === "native" ? natively : [];
      const child = Bun.spawn([...before, programs[kind], ...flags], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const bytes = new Uint8Array(await new Response(child.stdout).arrayBuffer());
      expect(await child.exited).toBe(0);
      const { pid, exitStatus, exitedAt } = fromBinary(DeleteResponseSchema, bytes);
      expect({ pid, exitStatus }).toEqual({ pid: 0, exitStatus: 137 });
      expect(Math.abs(Number(exitedAt?.seconds) - Date.now() / 1000)).toBeLessThan(600);
    }
  });

  test("of a task on record is the executable's", async () => {
    const bundle = makeBundle("x");
    for (const kind of ["corten", "native", "sanitized"] as const) {
      mkdirSync(join(bundle.path, "rootfs"), { recursive: true });
      writeFileSync(join(bundle.path, "task.json"), "{ not a record\n");
      await call(programs[kind], bundle, "delete");
      // Where there is a record that cannot be read, the record stays for whoever wants to know.
      expect(existsSync(join(bundle.path, "task.json"))).toBe(true);
    }
  });
});

whole("what is no command of containerd's", () => {
  test("is the executable's, by whichever name the native program is called", async () => {
    const other = join(root, "native", "containerd-shim-runc-v2");
    symlinkSync(programs.native, other);
    for (const flags of [["-v"], ["-info"], ["-nothing"], ["-id", "x", "-namespace", "n", "dance"], []]) {
      const [first, ...rest] = await Promise.all(
        [programs.corten, programs.native, programs.sanitized, other].map((program) =>
          run([program, ...flags]),
        ),
      );
      for (const outcome of rest) expect(outcome).toEqual(first!);
    }
  });

  test("fails with corten's path where there is no corten", async () => {
    const lost = join(root, name);
    writeFileSync(lost, withPath(readFileSync(programs.native), "/nowhere/corten"), {
      mode: 0o755,
    });
    expect(await run([lost, "-v"])).toMatchObject({
      code: 1,
      stderr: `${name}: /nowhere/corten: No such file or directory\n`,
    });
  });
});

whole("install", () => {
  test("takes a directory or a shim's name, and nothing else", async () => {
    const directory = mkdtempSync(join(root, "install-"));
    const path = join(directory, "containerd-shim-runc-v2");
    for (const round of [1, 2])
      expect({ round, ...(await run([corten[0]!, "shim", "install", path])) }).toMatchObject({
        code: 0,
        stdout: `${path}\n`,
      });
    const refused = await run([corten[0]!, "shim", "install", join(directory, "docker")]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("is neither a directory nor a name for a shim");
    expect(readdirSync(directory)).toEqual(["containerd-shim-runc-v2"]);
  });
});
