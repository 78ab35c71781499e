/**
 * What crio.test.ts runs beside the scenarios of every CRI server, each on a node of its own:
 * `unshare -n -m bun crio.scenarios.ts NAME`.
 */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { NamespaceMode } from "../../proto/gen/runtime/v1/common_pb.ts";
import { ContainerState } from "../../proto/gen/runtime/v1/container_pb.ts";
import { corten, run, until } from "../helpers/engine.ts";
import { freePort } from "../helpers/images.ts";
import type { ServerName } from "../integration/cri.servers.ts";
import { sh, World } from "../integration/cri.world.ts";

const forever = ["sleep", "1000"];

async function failure(work: Promise<unknown>): Promise<ConnectError> {
  try {
    await work;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new assert.AssertionError({ message: "the call did not fail" });
}

/** A drop-in for the server's next look at its configuration. */
function configure(world: World, name: string, text: string): void {
  mkdirSync(join(world.dir, "crio.conf.d"), { recursive: true });
  writeFileSync(join(world.dir, "crio.conf.d", name), text);
}

async function restart(world: World, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  await world.killDaemon(signal);
  await world.startDaemon();
}

const crio = (world: World, ...argv: string[]) =>
  run([
    ...corten,
    "crio",
    "--config",
    join(world.dir, "crio.conf"),
    "--config-dir",
    join(world.dir, "crio.conf.d"),
    ...argv,
  ]);

export const scenarios: Record<string, (world: World) => Promise<void>> = {
  async "crio: SIGHUP takes over runtimes, pinned images and registries.conf; a wrong file changes nothing"(
    world,
  ) {
    await world.pull();
    const image = async () => (await world.images.listImages({})).images[0]!;
    assert.equal((await image()).pinned, false);
    const reload = async (told: RegExp) => {
      const before = world.log.length;
      world.tellDaemon("SIGHUP");
      await until("the reload", () => told.test(world.log.slice(before)));
    };
    configure(
      world,
      "10-more.conf",
      `[crio.image]
pinned_images = ["${world.registry.address}/*"]
[crio.runtime]
pids_limit = 5
[crio.runtime.runtimes.other]
runtime_path = "/usr/sbin/runc"
`,
    );
    writeFileSync(
      join(world.dir, "registries.conf"),
      `unqualified-search-registries = ["${world.registry.address}"]\n`,
    );
    await reload(/read again.*runtimes, pinned_images, registries\.conf/);
    assert.equal((await image()).pinned, true);
    const { runtimeHandlers } = await world.runtime.status({});
    assert.deepEqual(runtimeHandlers.map(({ name }) => name).sort(), ["", "other", "runc"]);
    // The short name is found on the node, and by a pull.
    const { imageRef } = await world.images.pullImage({
      image: { image: world.registry.busybox.split("/").at(-1)! },
    });
    assert.equal(
      (await world.images.imageStatus({ image: { image: world.registry.busybox.split("/").at(-1)! } })).image
        ?.id,
      imageRef,
    );
    const config = world.podConfig();
    const { podSandboxId } = await world.runtime.runPodSandbox({ config, runtimeHandler: "other" });
    const id = await world.run({ id: podSandboxId, config }, forever);
    assert.equal((await world.status(id)).state, ContainerState.CONTAINER_RUNNING);
    assert.ok(existsSync(join(world.dir, "run/corten/crio/runtimes/other", id)));
    // Not a key that is reloaded.
    assert.doesNotMatch(await world.exec(id, "cat", "/proc/self/cgroup"), /impossible/);
    configure(world, "20-wrong.conf", '[crio.runtime]\ndefault_runtime = "none"\n');
    await reload(/stays as it was/);
    assert.equal((await image()).pinned, true);
  },

  async "crio: registries.conf sends pulls to mirrors and blocks; policy.json rejects"(world) {
    const { address } = world.registry;
    writeFileSync(
      join(world.dir, "registries.conf"),
      `[[registry]]
prefix = "far.invalid/tools"
location = "nowhere.invalid:5000"
[[registry.mirror]]
location = "127.0.0.1:1"
insecure = true
[[registry.mirror]]
location = "${address}"
[[registry]]
location = "shut.invalid"
blocked = true
`,
    );
    const policy = join(world.dir, "policy.json");
    configure(world, "policy.conf", `[crio.image]\nsignature_policy = "${policy}"\n`);
    const accept = [{ type: "insecureAcceptAnything" }];
    writeFileSync(
      policy,
      JSON.stringify({
        default: [{ type: "reject" }],
        transports: { docker: { "far.invalid": accept, "shut.invalid": accept, [address]: accept } },
      }),
    );
    await restart(world);
    const name = `far.invalid/tools/${world.registry.busybox.split("/").at(-1)}`;
    const { imageRef } = await world.images.pullImage({ image: { image: name } });
    const { image } = await world.images.imageStatus({ image: { image: name } });
    assert.deepEqual([image!.id, image!.repoTags], [imageRef, [name]]);
    const blocked = await failure(world.images.pullImage({ image: { image: "shut.invalid/x:1" } }));
    assert.match(blocked.message, /blocked in registries\.conf/);
    const rejected = await failure(world.images.pullImage({ image: { image: "else.invalid/x:1" } }));
    assert.equal(rejected.code, Code.PermissionDenied);
    assert.match(rejected.message, /SignatureValidationFailed.*rejects/);
  },

  async "crio: hooks of hooks.d run for the containers they match, at their stages"(world) {
    await world.pull();
    const hooks = join(world.dir, "hooks.d");
    mkdirSync(hooks);
    const seen = join(world.dir, "seen");
    writeFileSync(seen, "");
    writeFileSync(
      join(hooks, "10-mark.json"),
      JSON.stringify({
        version: "1.0.0",
        hook: { path: "/bin/sh", args: ["sh", "-c", `grep -o '"id":"[0-9a-f]*"' >> ${seen}`] },
        when: { annotations: { "^hook\\.test$": "^yes$" } },
        stages: ["createRuntime", "poststop"],
      }),
    );
    writeFileSync(join(hooks, "20-bad.json"), "{}");
    const pod = await world.pod({ annotations: { "hook.test": "yes" } });
    const id = await world.run(pod, forever);
    assert.equal(readFileSync(seen, "utf8").split(id).length - 1, 1);
    await world.runtime.stopContainer({ containerId: id, timeout: 0n });
    await until("the poststop hook", () => readFileSync(seen, "utf8").split(id).length - 1 === 2);
    const other = await world.pod();
    const plain = await world.run(other, forever);
    assert.doesNotMatch(readFileSync(seen, "utf8"), new RegExp(plain));
    assert.match(world.log, /a hook is left out.*20-bad\.json/);
  },

  async "crio: defaults of the configuration reach containers"(world) {
    const mounts = join(world.dir, "mounts.conf");
    const given = join(world.dir, "given");
    mkdirSync(given);
    writeFileSync(join(given, "file"), "given\n");
    writeFileSync(mounts, `# what every container has\n${given}:/given\n/no/such/source:/x\n`);
    configure(
      world,
      "defaults.conf",
      `[crio.runtime]
default_capabilities = ["CHOWN", "SETUID"]
default_env = ["FROM_CRIO=1", "HOSTNAME=taken"]
default_sysctls = ["net.core.somaxconn=77"]
default_ulimits = ["nofile=111:222"]
default_mounts_file = "${mounts}"
pids_limit = 33
additional_devices = ["/dev/null:/dev/given:r"]
timezone = "Local"
selinux = true
log_to_journald = true
read_only = true
log_size_max = 8192
`,
    );
    await restart(world);
    await world.pull();
    const pod = await world.pod();
    const id = await world.run(pod, [
      "sh",
      "-c",
      "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; touch /tmp/done; exec sleep 1000",
    ]);
    const ask = async (...command: string[]) => (await world.exec(id, ...command)).trim();
    assert.equal(await ask("sh", "-c", "echo $FROM_CRIO $HOSTNAME"), `1 ${pod.config.hostname}`);
    assert.equal(await ask("cat", "/proc/sys/net/core/somaxconn"), "77");
    assert.equal(await ask("sh", "-c", "ulimit -n; ulimit -H -n"), "111\n222");
    assert.equal(await ask("cat", "/given/file"), "given");
    assert.match(await ask("ls", "-l", "/dev/given"), /^c.* 1, +3 /);
    assert.match(world.log, /a key has no effect.*runtime\.log_to_journald/);
    if (!existsSync("/sys/fs/selinux/enforce")) assert.match(world.log, /Selinux is not supported/);
    assert.match(await ask("grep", "CapBnd", "/proc/self/status"), /0000000000000081$/);
    assert.match(
      (await failure(world.runtime.execSync({ containerId: id, cmd: ["/no/such"] }))).message,
      /./,
    );
    const refused = await world.runtime.execSync({ containerId: id, cmd: ["touch", "/x"], timeout: 5n });
    assert.notEqual(refused.exitCode, 0);
    await until("the lines", async () => {
      const { exitCode } = await world.runtime.execSync({ containerId: id, cmd: ["ls", "/tmp/done"] });
      return exitCode === 0;
    });
    const { info } = await world.runtime.containerStatus({ containerId: id, verbose: true });
    assert.equal(JSON.parse(info["info"]!).runtimeSpec.linux.resources.pids.limit, 33);
    await until("a log within its limit", () => {
      const { size } = statSync(join(pod.config.logDirectory, "main.log"));
      return size > 0 && size <= 8192 + 100;
    });
  },

  async "crio: status, config and metrics tell of the server"(world) {
    const port = await freePort();
    configure(world, "m.conf", `[crio.metrics]\nenable_metrics = true\nmetrics_port = ${port}\n`);
    await restart(world);
    await world.pull();
    const pod = await world.pod();
    const id = await world.run(pod, forever);
    const info = await crio(world, "status", "info");
    assert.match(info.stdout, /^cgroup driver: cgroupfs\nstorage driver: overlay\n/);
    const container = await crio(world, "status", "containers", "--id", id);
    const { pid } = JSON.parse(
      (await world.runtime.containerStatus({ containerId: id, verbose: true })).info["info"]!,
    );
    assert.match(container.stdout, new RegExp(`^pid: ${pid}$`, "m"));
    assert.match(container.stdout, new RegExp(`^sandbox: ${pod.id}$`, "m"));
    const missing = await crio(world, "status", "containers", "--id", "nothing");
    assert.notEqual(missing.code, 0);
    assert.match(missing.stderr, /can't find the container with id nothing/);
    const served = await crio(world, "status", "config");
    assert.match(served.stdout, new RegExp(`^metrics_port = ${port}$`, "m"));
    const printed = await crio(world, "config");
    assert.match(printed.stdout, /^# pids_limit = -1$/m);
    assert.match(printed.stdout, new RegExp(`^metrics_port = ${port}$`, "m"));
    assert.match((await crio(world, "config", "--default")).stdout, /^# metrics_port = 9090$/m);
    await failure(world.runtime.containerStatus({ containerId: "nothing" }));
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    assert.match(text, /^container_runtime_crio_operations_total\{operation="RunPodSandbox"\} 1$/m);
    assert.match(text, /^container_runtime_crio_operations_errors_total\{operation="ContainerStatus"\} 1$/m);
    assert.match(text, /^container_runtime_crio_image_pulls_success_total 1$/m);
    assert.match(text, /^container_runtime_crio_image_pulls_bytes_total [1-9]/m);
    assert.equal((await fetch(`http://127.0.0.1:${port}/else`)).status, 404);
  },

  async "crio: after a reboot pods are wiped and images stay; an unclean one wipes the storage"(world) {
    const { imageRef } = { imageRef: await world.pull() };
    const version = join(world.dir, "run/version");
    const pod = await world.pod();
    await world.run(pod, forever);
    // A restart is no reboot.
    await restart(world);
    assert.equal((await world.runtime.listPodSandbox({})).items.length, 1);
    await world.killDaemon("SIGTERM");
    assert.ok(existsSync(join(world.dir, "lib/clean.shutdown")));
    rmSync(version);
    await world.startDaemon();
    assert.deepEqual((await world.runtime.listPodSandbox({})).items, []);
    assert.deepEqual(world.held(), []);
    assert.equal((await world.images.listImages({})).images[0]?.id, imageRef);
    await restart(world, "SIGKILL");
    assert.equal((await world.images.listImages({})).images.length, 1);
    await world.killDaemon();
    rmSync(version);
    await world.startDaemon();
    assert.deepEqual((await world.images.listImages({})).images, []);
    // Wiped by hand: not while a server runs.
    await world.pull();
    const refused = await crio(world, "wipe", "--force");
    assert.match(refused.stderr, /a server answers/);
    await world.killDaemon("SIGTERM");
    const wiped = await crio(world, "wipe", "--force");
    assert.equal(wiped.code, 0, wiped.stderr);
    await world.startDaemon();
    assert.deepEqual((await world.images.listImages({})).images, []);
  },

  async "crio: a container whose monitor is killed is looked after by the server, now and after a restart"(
    world,
  ) {
    await world.pull();
    const pod = await world.pod();
    const [one, two] = [
      await world.run(pod, forever, { metadata: { name: "one" } }),
      await world.run(pod, forever, { metadata: { name: "two" } }),
    ];
    for (const id of [one, two])
      process.kill(Number(sh("pgrep", "-f", `monitor .*/containers/${id}/init`).trim()), "SIGKILL");
    await until("the loss", () => world.log.split("monitor is gone").length === 3);
    assert.equal((await world.status(one)).state, ContainerState.CONTAINER_RUNNING);
    assert.equal(await world.exec(one, "echo", "alive"), "alive\n");
    await world.runtime.stopContainer({ containerId: one, timeout: 0n });
    assert.equal((await world.status(one)).exitCode, 255);
    await restart(world, "SIGKILL");
    assert.equal((await world.status(two)).state, ContainerState.CONTAINER_RUNNING);
    await world.runtime.stopContainer({ containerId: two, timeout: 0n });
    assert.equal((await world.status(two)).state, ContainerState.CONTAINER_EXITED);
    await world.runtime.removePodSandbox({ podSandboxId: pod.id });
    assert.deepEqual(world.held(), []);
  },

  async "crio: layers that no image and no container needs are removed, also after a killed pull"(world) {
    const layers = () => {
      const found = join(world.dir, "lib/corten/storage/overlay/snapshots");
      return existsSync(found) ? readdirSync(found).length : -1;
    };
    await world.pull();
    const withImage = layers();
    assert.ok(withImage > 0);
    const pod = await world.pod();
    const id = await world.run(pod, forever);
    await world.images.removeImage({ image: { image: world.registry.busybox } });
    assert.equal((await world.images.listImages({})).images.length, 0);
    assert.equal(await world.exec(id, "echo", "still here"), "still here\n");
    await world.runtime.removePodSandbox({ podSandboxId: pod.id });
    await until("no layers", () => layers() === 0);
    const pull = world.pull().catch(() => "");
    await until("a pull under way", () =>
      existsSync(join(world.dir, "lib/corten/storage/content/ingest"))
        ? readdirSync(join(world.dir, "lib/corten/storage/content/ingest")).length > 0 || layers() > 0
        : true,
    );
    await world.killDaemon();
    await pull;
    await world.startDaemon();
    if ((await world.images.listImages({})).images.length === 0) await until("no rest", () => layers() <= 0);
    await world.pull();
    assert.equal(layers(), withImage);
  },
};

/** For containers under conmon. */
export const conmonScenarios: Record<string, (world: World) => Promise<void>> = {
  async "conmon: attach carries both ways, and stdin ends with the first client where that is asked"(world) {
    await world.pull();
    const pod = await world.pod();
    const id = await world.run(pod, ["sh", "-c", "cat; echo over; exit 3"], { stdin: true, stdinOnce: true });
    const crictl = [...corten, "crictl", "--runtime-endpoint", `unix://${world.socket}`];
    const input = "x".repeat(100_000);
    const attached = await run([...crictl, "attach", "-i", id], { input: `${input}\n` });
    assert.match(attached.stdout, /x{10000}/, JSON.stringify(attached).slice(0, 1000));
    assert.equal((await world.ended(id)).exitCode, 3);
    const lines = readFileSync(join(pod.config.logDirectory, "main.log"), "utf8");
    assert.equal(
      lines
        .split("\n")
        .filter((line) => / stdout [PF] x/.test(line))
        .map((line) => line.split(" ")[3]!.length)
        .reduce((a, b) => a + b, 0),
      input.length,
    );
    assert.match(lines, / stdout F over$/m);
  },

  async "conmon: containers live on without the server and without conmon's word their end is unknown"(
    world,
  ) {
    await world.pull();
    const shared = { namespaceOptions: { pid: NamespaceMode.POD } };
    const pod = await world.pod({ linux: { securityContext: shared } });
    const volume = join(world.dir, "volume");
    mkdirSync(volume);
    const ended = await world.run(pod, ["sh", "-c", "until [ -e /v/go ]; do sleep 0.05; done; exit 9"], {
      metadata: { name: "ended" },
      mounts: [{ containerPath: "/v", hostPath: volume }],
    });
    const lost = await world.run(pod, forever, { metadata: { name: "lost" } });
    const kept = await world.run(pod, forever, { metadata: { name: "kept" } });
    const conmonOf = (id: string) =>
      Number(readFileSync(join(world.dir, "run/corten/crio/containers", id, "init/conmon.pid"), "utf8"));
    assert.match(readFileSync(`/proc/${conmonOf(kept)}/cmdline`, "utf8"), /conmon/);
    await world.killDaemon();
    writeFileSync(join(volume, "go"), "");
    await until("the end", () => existsSync(join(world.dir, "exits", ended)));
    await world.startDaemon();
    assert.equal((await world.ended(ended)).exitCode, 9);
    process.kill(conmonOf(lost), "SIGKILL");
    await world.runtime.stopContainer({ containerId: lost, timeout: 0n });
    assert.equal((await world.status(lost)).exitCode, 255);
    // Log rotation goes through conmon's FIFO, also to one that an earlier server started.
    const log = join(pod.config.logDirectory, "kept.log");
    renameSync(log, `${log}.1`);
    await world.runtime.reopenContainerLog({ containerId: kept });
    assert.ok(existsSync(log));
    await world.runtime.removePodSandbox({ podSandboxId: pod.id });
    assert.deepEqual(world.held(), []);
  },
};

const asked = process.argv[2];
if (import.meta.main && asked !== undefined) {
  const server: ServerName = asked.startsWith("conmon") ? "crio with conmon and runc" : "crio";
  await using world = await World.start(server);
  try {
    await { ...scenarios, ...conmonScenarios }[asked]!(world);
  } catch (error) {
    process.stderr.write(`${world.log.slice(-4000)}\n`);
    throw error;
  }
}
