/** kill -9 of the daemon while files are copied into and out of containers: nothing of the copy is left, and the next one works. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { tarOf } from "../../src/archive/tar/index.ts";
import { corten, type Engine, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
});
afterAll(() => registry[Symbol.asyncDispose]());

/** More than all pipes and sockets between a container and a client that does not read hold. */
const large = 8 << 20;
const archive = tarOf({ path: "big", data: Buffer.alloc(large, "the content of a large file\n") });

async function must(engine: Engine, ...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await engine.docker(...argv);
  if (code !== 0)
    throw new Error(`docker ${argv.join(" ")}: ${code} ${stderr}\n${engine.log().slice(-4000)}`);
  return stdout;
}

/** What daemons mount for their own use, by the kernel and by the directories made for it. */
const mounts = ({ root }: Engine): string[] => [
  ...readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(join(root, "run/mounts/"))),
  ...readdirSync(join(root, "run/mounts")).map((name) => `directory ${name}`),
];

/** All files of the daemon but those of layers and volumes, which are what is copied, and of its databases. */
function files(engine: Engine): string[] {
  return readdirSync(engine.root, { recursive: true, encoding: "utf8" })
    .filter((path) => !/\/fs(\/|$)|^lib\/volumes\/|-(wal|shm)$|\/rootfs\/|^run\/mounts\//.test(path))
    .sort();
}

const size = (path: string): number => {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
};

/** A `docker cp` whose output nobody reads yet: what it can write is what a pipe holds. */
function stalledCopy(command: readonly string[], engine: Engine, from: string) {
  const pipe = join(engine.root, `stalled-${from.replaceAll(/\W/g, "-")}`);
  spawnSync("mkfifo", [pipe]);
  const to = openSync(pipe, constants.O_RDWR);
  const fd = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  rmSync(pipe);
  const client = Bun.spawn([...command, "-H", engine.host, "cp", from, "-"], {
    stdio: ["ignore", to, "ignore"],
  });
  closeSync(to);
  const buffer = Buffer.alloc(1 << 16);
  return {
    client,
    /** Reads what there is; the number of bytes. */
    read(): number {
      try {
        return readSync(fd, buffer);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
        throw error;
      }
    },
    close: () => closeSync(fd),
  };
}

/** A `docker cp` that reads its archive from us or writes it to us. */
function copy(command: readonly string[], engine: Engine, from: string, to: string) {
  return Bun.spawn([...command, "-H", engine.host, "cp", from, to], { stdio: ["pipe", "pipe", "ignore"] });
}

/** The whole way in, and back out: the same bytes. */
async function expectCopies(command: readonly string[], engine: Engine, container: string): Promise<void> {
  const into = copy(command, engine, "-", `${container}:/data`);
  into.stdin.write(archive);
  await into.stdin.end();
  expect(await into.exited).toBe(0);
  const out = copy(command, engine, `${container}:/data/big`, "-");
  const [bytes, code] = await Promise.all([out.stdout.bytes(), out.exited]);
  expect(code).toBe(0);
  expect(
    Buffer.from(bytes)
      .subarray(512, 512 + large)
      .equals(archive.subarray(512, 512 + large)),
  ).toBe(true);
}

for (const [name, command] of [
  ["docker", ["docker"]],
  ["corten", corten],
] as const)
  test(`kill -9 of the daemon under ${name} cp leaves nothing of it, and the next one works`, async () => {
    await using engine = await startEngine();
    await must(engine, "pull", registry.busybox);
    const states = ["stopped", "running"];
    for (const state of states)
      for (const way of ["in", "out"]) {
        const options = ["--name", `${state}-${way}`, "-v", `${state}-${way}:/data`, registry.busybox];
        if (state === "running") await must(engine, "run", "-d", ...options, "sleep", "600");
        else await must(engine, "create", ...options, "true");
      }
    // A client has the whole of a copy before the daemon has let go of what it was read from.
    const unmounted = () => until("the end of the daemon's mounts", () => mounts(engine).length === 0, 60);
    for (const state of states) await expectCopies(command, engine, `${state}-out`);
    await unmounted();
    const before = files(engine);

    const volume = (state: string) => join(engine.root, `lib/volumes/${state}-in/_data/big`);
    const into = states.map((state) => copy(command, engine, "-", `${state}-in:/data`));
    const out = states.map((state) => stalledCopy(command, engine, `${state}-out:/data/big`));
    try {
      // Half of it, and no end; and a first piece of what comes out, with nobody to read the rest.
      for (const { stdin } of into) {
        stdin.write(archive.subarray(0, large / 2));
        await stdin.flush();
      }
      for (const state of states) await until(`the first of ${state}-in`, () => size(volume(state)) > 0);
      for (const one of out) await until("the first that comes out", () => one.read() > 0);
      // One for each container that does not run; a killed daemon leaves them.
      const mounted = () => mounts(engine).filter((path) => path.startsWith("directory"));
      expect(mounted()).toHaveLength(2);
      await engine.kill();
      expect(mounted()).toHaveLength(2);
      for (const { stdin } of into) await Promise.resolve(stdin.end()).catch(() => {});
      for (const client of into) expect(await client.exited).not.toBe(0);
      for (const { client, read } of out) {
        let bytes = 0;
        await until("the end of a copy", () => {
          const more = read();
          bytes += more;
          return more === 0 && client.exitCode !== null;
        });
        expect(bytes).toBeLessThan(large);
        expect(client.exitCode).not.toBe(0);
      }
    } finally {
      for (const client of [...into, ...out.map(({ client }) => client)]) client.kill("SIGKILL");
      for (const { close } of out) close();
    }

    await engine.restart();
    expect(mounts(engine)).toEqual([]);
    // What the daemon removes, it removes on another thread.
    await until("the files from before", () => Bun.deepEquals(files(engine), before)).catch(() => {});
    expect(files(engine)).toEqual(before);
    for (const state of states)
      for (const way of ["in", "out"]) await expectCopies(command, engine, `${state}-${way}`);
    await unmounted();
    expect(files(engine)).toEqual(before);
  });
