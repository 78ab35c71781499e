/**
 * What cri.test.ts runs, each on a node of its own in network and mount namespaces of its own:
 * `unshare -n -m bun cri.scenarios.ts NAME`.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  MountPropagation,
  NamespaceMode,
  SupplementalGroupsPolicy,
} from "../../proto/gen/runtime/v1/common_pb.ts";
import { ContainerState } from "../../proto/gen/runtime/v1/container_pb.ts";
import { type ContainerEventResponse, ContainerEventType } from "../../proto/gen/runtime/v1/event_pb.ts";
import { PodSandboxState } from "../../proto/gen/runtime/v1/sandbox_pb.ts";
import { corten, run, until } from "../helpers/engine.ts";
import { freePort, makeBusyboxRootfs, makeLayout } from "../helpers/images.ts";
import { replayKubelet } from "./cri.kubelet.ts";
import type { ServerName } from "./cri.servers.ts";
import { type Pod, sh, World } from "./cri.world.ts";

/** The error of a call that must fail. */
async function failure(work: Promise<unknown>): Promise<ConnectError> {
  try {
    await work;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new assert.AssertionError({ message: "the call did not fail" });
}

const forever = ["sleep", "1000"];
/** Ends at SIGTERM. */
const polite = ["sh", "-c", "trap 'exit 0' TERM; touch /ready; while :; do sleep 0.05; done"];

/** What takes long; cri-load.test.ts runs it, on our containerd and on the real one. */
export const long = /^(fifty|five hundred|killed again|the calls of a kubelet|users:)/;

export const scenarios: Record<string, (world: World) => Promise<void>> = {
  async "Version, Status and RuntimeConfig say what there is, and the network's condition follows its configuration"({
    runtime,
    ...world
  }) {
    const version = await runtime.version({});
    assert.equal(version.runtimeApiVersion, "v1");
    const ready = async () =>
      (await runtime.status({})).status!.conditions.map(({ type, status }) => `${type}=${status}`).join(" ");
    assert.equal(await ready(), "RuntimeReady=true NetworkReady=true");
    const file = join(world.confDir, "10-test.conflist");
    const away = join(world.dir, "away");
    renameSync(file, away);
    await until("no network", async () => (await ready()) === "RuntimeReady=true NetworkReady=false");
    const { status, info, runtimeHandlers } = await runtime.status({ verbose: true });
    assert.match(status!.conditions[1]!.message, /cni plugin not initialized/);
    assert.match(info["lastCNILoadStatus"]!, /no network config found/);
    const handlers = runtimeHandlers.map(({ name }) => name);
    // A Docker daemon's runtimes are its own.
    if (world.server.docker) assert.ok(handlers[0] === "" && handlers.length > 1);
    else assert.deepEqual(handlers, ["", "runc"]);
    renameSync(away, file);
    await until("a network", async () => (await ready()).endsWith("NetworkReady=true"));
    assert.equal((await runtime.runtimeConfig({})).linux!.cgroupDriver, 1);
  },

  async "an image is pulled, found by name, digest and id, listed, counted and removed"({
    images,
    registry,
  }) {
    assert.equal((await images.imageStatus({ image: { image: registry.busybox } })).image, undefined);
    const { imageRef } = await images.pullImage({ image: { image: registry.busybox } });
    assert.match(imageRef, /^sha256:[0-9a-f]{64}$/);
    const { images: all } = await images.listImages({});
    assert.equal(all.length, 1);
    const image = all[0]!;
    assert.equal(image.id, imageRef);
    assert.deepEqual(image.repoTags, [registry.busybox]);
    assert.match(image.repoDigests[0]!, /\/busybox@sha256:[0-9a-f]{64}$/);
    assert.ok(image.size > 100_000n);
    for (const name of [registry.busybox, image.repoDigests[0]!, imageRef, imageRef.slice(7, 20)])
      assert.equal((await images.imageStatus({ image: { image: name } })).image?.id, imageRef, name);
    const { info } = await images.imageStatus({ image: { image: imageRef }, verbose: true });
    assert.equal(JSON.parse(info["info"]!).imageSpec.os, "linux");
    const usage = (await images.imageFsInfo({})).imageFilesystems[0]!;
    assert.ok(usage.usedBytes!.value > 0n && existsSync(usage.fsId!.mountpoint));
    const missing = await failure(images.pullImage({ image: { image: `${registry.address}/nothing:1` } }));
    assert.equal(missing.code, Code.NotFound, missing.message);
    assert.equal(
      (await failure(images.pullImage({ image: { image: "In Valid" } }))).code,
      Code.InvalidArgument,
    );
    await images.removeImage({ image: { image: imageRef } });
    await images.removeImage({ image: { image: imageRef } });
    assert.equal((await images.listImages({})).images.length, 0);
  },

  async "an image of a registry that is not there comes from the mirror that hosts.toml names"({
    images,
    registry,
    ...world
  }) {
    const name = "registry.invalid:5000/busybox:1";
    assert.equal((await failure(images.pullImage({ image: { image: name } }))).code !== undefined, true);
    const folder = join(world.dir, "certs.d/registry.invalid_5000_");
    mkdirSync(folder, { recursive: true });
    // The first mirror answers nobody, the second may only be asked for other things.
    writeFileSync(
      join(folder, "hosts.toml"),
      `server = "https://registry.invalid:5000"
[host."http://127.0.0.1:1"]
[host."http://${registry.address}/nowhere"]
  capabilities = ["push"]
[host."http://${registry.address}"]
  capabilities = ["pull", "resolve"]
`,
    );
    const { imageRef } = await images.pullImage({ image: { image: name } });
    const { image } = await images.imageStatus({ image: { image: name } });
    assert.deepEqual([image!.id, image!.repoTags], [imageRef, [name]]);
  },

  async "a pod has an address, a hostname, DNS and sysctls; it is listed, stopped and removed with nothing left"(
    world,
  ) {
    const { runtime } = world;
    await world.pull();
    const pod = await world.pod({
      hostname: "my-host",
      dnsConfig: { servers: ["10.9.9.9"], searches: ["cluster.local"], options: ["ndots:5"] },
      labels: { app: "one" },
      annotations: { note: "kept" },
      linux: { sysctls: { "net.core.somaxconn": "333", "kernel.shm_rmid_forced": "1" } },
    });
    const { status, info } = await runtime.podSandboxStatus({ podSandboxId: pod.id, verbose: true });
    assert.equal(status!.state, PodSandboxState.SANDBOX_READY);
    assert.match(status!.network!.ip, /^10\.86\.0\.\d+$/);
    assert.deepEqual([status!.labels, status!.annotations], [{ app: "one" }, { note: "kept" }]);
    assert.equal(Object.keys(JSON.parse(info["info"]!).cniResult.Interfaces).length, 3);
    const id = await world.run(pod, forever);
    assert.equal(await world.exec(id, "hostname"), "my-host\n");
    assert.equal(
      await world.exec(id, "cat", "/etc/resolv.conf"),
      "search cluster.local\nnameserver 10.9.9.9\noptions ndots:5\n",
    );
    assert.equal(await world.exec(id, "cat", "/proc/sys/net/core/somaxconn"), "333\n");
    assert.equal(await world.exec(id, "cat", "/proc/sys/kernel/shm_rmid_forced"), "1\n");
    assert.match(await world.exec(id, "ip", "-o", "address"), new RegExp(status!.network!.ip));
    const listed = async (filter: Parameters<typeof runtime.listPodSandbox>[0]["filter"]) =>
      (await runtime.listPodSandbox({ ...(filter ? { filter } : {}) })).items.length;
    assert.equal(await listed({ labelSelector: { app: "one" } }), 1);
    assert.equal(await listed({ labelSelector: { app: "two" } }), 0);
    assert.equal(await listed({ state: { state: PodSandboxState.SANDBOX_NOTREADY } }), 0);
    await runtime.stopPodSandbox({ podSandboxId: pod.id });
    await runtime.stopPodSandbox({ podSandboxId: pod.id });
    const stopped = (await runtime.podSandboxStatus({ podSandboxId: pod.id })).status!;
    assert.equal(stopped.state, PodSandboxState.SANDBOX_NOTREADY);
    assert.equal(stopped.network!.ip, "");
    assert.equal((await world.status(id)).exitCode, 137);
    await runtime.removePodSandbox({ podSandboxId: pod.id });
    await runtime.removePodSandbox({ podSandboxId: pod.id });
    assert.equal((await failure(runtime.podSandboxStatus({ podSandboxId: pod.id }))).code, Code.NotFound);
    assert.equal((await failure(runtime.containerStatus({ containerId: id }))).code, Code.NotFound);
    assert.deepEqual(world.held(), []);
  },

  async "without a network configuration pods of the host's network run and others fail with the known text"(
    world,
  ) {
    const { runtime } = world;
    await world.pull();
    rmSync(join(world.confDir, "10-test.conflist"));
    await until("no network", async () => (await runtime.status({})).status!.conditions[1]!.status === false);
    const refused = await failure(runtime.runPodSandbox({ config: world.podConfig() }));
    assert.match(refused.message, /cni plugin not initialized/);
    const host = { namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER } };
    if (!world.server.docker) {
      const named = world.pod({ hostname: "another", linux: { securityContext: host } });
      assert.match((await failure(named)).message, /hostname "another" cannot be set/);
    }
    const pod = await world.pod({ linux: { securityContext: host } });
    const id = await world.run(pod, forever);
    assert.equal(await world.exec(id, "readlink", "/proc/self/ns/net"), sh("readlink", "/proc/self/ns/net"));
    await runtime.removePodSandbox({ podSandboxId: pod.id });
    assert.deepEqual(world.held(), []);
  },

  async "a pod whose network neither comes nor goes stays on record until it can be removed"(world) {
    const { runtime } = world;
    // dockershim has Docker's container for a record.
    if (world.server.docker) return;
    const broken = join(world.dir, "broken");
    const plugin = join(world.dir, "plugin");
    writeFileSync(
      plugin,
      `#!/bin/sh
cat > /dev/null
if [ -e ${broken} ]; then echo '{"cniVersion":"1.0.0","code":100,"msg":"broken on purpose"}'; exit 1; fi
[ "$CNI_COMMAND" = DEL ] || echo '{"cniVersion":"1.0.0","ips":[{"address":"10.99.0.2/24"}]}'
`,
    );
    chmodSync(plugin, 0o755);
    // In this scenario's own mount namespace.
    sh("mount", "--bind", plugin, "/usr/lib/cni/sbr");
    try {
      writeFileSync(broken, "");
      const network = { cniVersion: "1.0.0", name: "broken", plugins: [{ type: "sbr" }] };
      writeFileSync(join(world.confDir, "05-broken.conflist"), JSON.stringify(network));
      let refused: ConnectError | undefined;
      await until("the new network", async () => {
        const answer = await runtime.runPodSandbox({ config: world.podConfig() }).catch(ConnectError.from);
        if (answer instanceof ConnectError) refused = answer;
        else await runtime.removePodSandbox({ podSandboxId: answer.podSandboxId });
        return refused;
      });
      assert.match(refused!.message, /broken on purpose/);
      const { items } = await runtime.listPodSandbox({});
      assert.deepEqual(
        items.map(({ state }) => state),
        [PodSandboxState.SANDBOX_NOTREADY],
      );
      const podSandboxId = items[0]!.id;
      assert.match((await failure(runtime.stopPodSandbox({ podSandboxId }))).message, /broken on purpose/);
      rmSync(broken);
      await runtime.stopPodSandbox({ podSandboxId });
      await runtime.removePodSandbox({ podSandboxId });
      assert.deepEqual((await runtime.listPodSandbox({})).items, []);
    } finally {
      sh("umount", "/usr/lib/cni/sbr");
    }
    assert.deepEqual(world.held(), []);
  },

  async "containers of a pod share network, IPC and, when asked, processes"(world) {
    await world.pull();
    const namespaces = (id: string) =>
      world.exec(id, "sh", "-c", "for n in net ipc uts pid; do readlink /proc/1/ns/$n; done");
    const apart = await world.pod();
    const [one, two] = [
      await world.run(apart, forever, { metadata: { name: "one" } }),
      await world.run(apart, forever, { metadata: { name: "two" } }),
    ];
    const [first, second] = [(await namespaces(one)).split("\n"), (await namespaces(two)).split("\n")];
    // Docker's containers have a UTS namespace each, with the same name in it.
    const shared = world.server.docker ? 2 : 3;
    assert.deepEqual(first.slice(0, shared), second.slice(0, shared));
    assert.notEqual(first[3], second[3]);
    await world.exec(one, "sh", "-c", "echo shared > /dev/shm/x");
    assert.equal(await world.exec(two, "cat", "/dev/shm/x"), "shared\n");
    const pid = { namespaceOptions: { pid: NamespaceMode.POD } };
    const together = await world.pod({ linux: { securityContext: pid } });
    const three = await world.run(together, forever, { linux: { securityContext: pid } });
    assert.match(await world.exec(three, "ps"), /\/pause[\s\S]*sleep 1000/);
    // An orphan is taken in by the pod's own process, and does not stay as a zombie.
    await world.exec(three, "sh", "-c", "(sh -c 'sleep 0.2' &)");
    await until(
      "the orphan to be taken in",
      // A zombie has no command line: its name stands in brackets.
      async () => !/sleep 0\.2|\[(sh|sleep)\]/.test(await world.exec(three, "ps")),
    );
    const target = { namespaceOptions: { pid: NamespaceMode.TARGET, targetId: one } };
    const debug = await world.run(apart, forever, {
      metadata: { name: "debug" },
      linux: { securityContext: target },
    });
    assert.equal((await namespaces(debug)).split("\n")[3], first[3]);
  },

  async "a container is created, started, asked, stopped and removed, and its log has CRI's format"(world) {
    const { runtime } = world;
    await world.pull();
    const pod = await world.pod();
    const id = await world.create(
      pod,
      ["sh", "-c", "printf part; printf 'ial\\n'; echo error >&2; exec sleep 1000"],
      {
        envs: [{ key: "GREETING", value: new TextEncoder().encode("hello") }],
        workingDir: "/tmp",
        labels: { role: "main" },
      },
    );
    assert.equal((await world.status(id)).state, ContainerState.CONTAINER_CREATED);
    assert.equal(
      (await failure(runtime.execSync({ containerId: id, cmd: ["true"] }))).code,
      Code.FailedPrecondition,
    );
    await runtime.startContainer({ containerId: id });
    await runtime.startContainer({ containerId: id });
    const status = await world.status(id);
    assert.equal(status.state, ContainerState.CONTAINER_RUNNING);
    assert.ok(status.startedAt >= status.createdAt);
    assert.equal(await world.exec(id, "sh", "-c", "echo $GREETING; pwd"), "hello\n/tmp\n");
    await until("the log", () => world.readLog(pod).split("\n").length > 2);
    const stamp = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d+(?:Z|[+-]\\d\\d:\\d\\d)";
    const line = (stream: string, text: string) =>
      new RegExp(
        world.server.docker
          ? `^\\{"log":"${text}\\\\n","stream":"${stream}","time":"${stamp}"\\}$`
          : `^${stamp} ${stream} F ${text}$`,
        "m",
      );
    assert.match(world.readLog(pod), line("stdout", "partial"));
    assert.match(world.readLog(pod), line("stderr", "error"));
    const { containers } = await runtime.listContainers({
      filter: { labelSelector: { role: "main" }, podSandboxId: pod.id },
    });
    assert.deepEqual(
      containers.map((container) => container.id),
      [id],
    );
    await runtime.stopContainer({ containerId: id, timeout: 0n });
    const ended = await world.ended(id);
    assert.deepEqual(
      [ended.state, ended.exitCode, ended.reason],
      [ContainerState.CONTAINER_EXITED, 137, "Error"],
    );
    await runtime.stopContainer({ containerId: id, timeout: 1n });
    await runtime.removeContainer({ containerId: id });
    await runtime.removeContainer({ containerId: id });
    assert.equal((await runtime.listContainers({})).containers.length, 0);
  },

  async "a stop sends the signal and waits; a container that does not listen is killed at the time-out"(
    world,
  ) {
    const { runtime } = world;
    await world.pull();
    const pod = await world.pod();
    const kind = await world.run(pod, polite, { metadata: { name: "kind" } });
    await until("its trap", async () => (await world.exec(kind, "ls", "/")).includes("ready"));
    await runtime.stopContainer({ containerId: kind, timeout: 30n });
    const end = await world.status(kind);
    assert.deepEqual([end.exitCode, end.reason], [0, "Completed"]);
    const deaf = await world.run(pod, ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], {
      metadata: { name: "deaf" },
    });
    const before = Date.now();
    await runtime.stopContainer({ containerId: deaf, timeout: 1n });
    assert.ok(Date.now() - before >= 1000);
    assert.equal((await world.status(deaf)).exitCode, 137);
  },

  async "a container that cannot start has ended, with the reason"(world) {
    const { runtime } = world;
    await world.pull();
    const pod = await world.pod();
    const id = await world.create(pod, ["/no/such/program"]);
    assert.match(
      (await failure(runtime.startContainer({ containerId: id }))).message,
      /no such file or directory/,
    );
    const status = await world.status(id);
    assert.deepEqual(
      [status.state, status.exitCode, status.reason],
      world.server.docker
        ? [ContainerState.CONTAINER_EXITED, 127, "ContainerCannotRun"]
        : [ContainerState.CONTAINER_EXITED, 128, "StartError"],
    );
    const missing = await failure(
      world.create(pod, forever, {
        metadata: { name: "other" },
        image: { image: `sha256:${"0".repeat(64)}` },
      }),
    );
    assert.equal(missing.code, Code.NotFound);
  },

  async "memory over the limit is OOMKilled, and limits change while a container runs"(world) {
    const { runtime } = world;
    await world.pull();
    const pod = await world.pod();
    const id = await world.run(
      pod,
      ["sh", "-c", "x=$(head -c 100000000 /dev/zero | tr '\\0' a); echo $x | wc -c"],
      {
        linux: { resources: { memoryLimitInBytes: 16n << 20n } },
      },
    );
    assert.equal((await world.ended(id)).reason, "OOMKilled");
    const calm = await world.run(pod, forever, {
      metadata: { name: "calm" },
      linux: {
        resources: {
          memoryLimitInBytes: 64n << 20n,
          cpuShares: 200n,
          // Kubelet sets them for every size, whether or not anything counts huge pages here.
          hugepageLimits: [{ pageSize: "2MB", limit: 0n }],
        },
      },
    });
    await runtime.updateContainerResources({
      containerId: calm,
      linux: { memoryLimitInBytes: 128n << 20n, cpuPeriod: 100_000n, cpuQuota: 50_000n },
    });
    assert.equal((await world.status(calm)).resources!.linux!.memoryLimitInBytes, 128n << 20n);
    assert.equal((await world.status(calm)).resources!.linux!.cpuShares, 200n);
    const { stats } = await runtime.containerStats({ containerId: calm });
    assert.ok(stats!.memory!.workingSetBytes!.value > 0n);
    assert.ok(stats!.memory!.availableBytes!.value > 100n << 20n);
    assert.ok(stats!.cpu!.usageCoreNanoSeconds!.value > 0n);
    assert.equal((await runtime.listContainerStats({})).stats.length, 1);
    const pods = (await runtime.listPodSandboxStats({})).stats;
    assert.equal(pods[0]!.linux!.network!.defaultInterface!.name, "eth0");
    assert.equal(pods[0]!.linux!.containers.length, 1);
    const { descriptors } = await runtime.listMetricDescriptors({});
    const { podMetrics } = await runtime.listPodSandboxMetrics({});
    const names = new Set(
      podMetrics
        .flatMap(({ metrics, containerMetrics }) => [
          ...metrics,
          ...containerMetrics.flatMap((c) => c.metrics),
        ])
        .map(({ name }) => name),
    );
    assert.ok(
      names.size > 5 &&
        [...names].every((name) => descriptors.some((descriptor) => descriptor.name === name)),
    );
  },

  async "ExecSync gives both outputs and the exit code, and kills what takes too long"(world) {
    const { runtime } = world;
    await world.pull();
    const id = await world.run(await world.pod(), forever);
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    const done = await runtime.execSync({
      containerId: id,
      cmd: ["sh", "-c", "echo out; echo err >&2; exit 7"],
      timeout: 20n,
    });
    assert.deepEqual([text(done.stdout), text(done.stderr), done.exitCode], ["out\n", "err\n", 7]);
    const late = await failure(runtime.execSync({ containerId: id, cmd: ["sleep", "777"], timeout: 1n }));
    assert.equal(late.code, Code.DeadlineExceeded);
    await until("its end", async () => !(await world.exec(id, "ps")).includes("sleep 777"));
    assert.match(
      (await failure(runtime.execSync({ containerId: id, cmd: ["/nothing"], timeout: 5n }))).message,
      /no such file/,
    );
  },

  async "users and groups are the pod's, then the image's; Strict leaves the image's groups out"(world) {
    await world.pull();
    const pod = await world.pod();
    const id = async (name: string, securityContext: object) =>
      world.exec(await world.run(pod, forever, { metadata: { name }, linux: { securityContext } }), "id");
    assert.match(await id("plain", {}), /^uid=0\(root\) gid=0\(root\)/);
    const nobody = { runAsUser: { value: 65534n }, runAsGroup: { value: 33n }, supplementalGroups: [1234n] };
    assert.match(
      await id("merge", nobody),
      // With a group given a Docker daemon does not look for others in the image.
      world.server.docker
        ? /uid=65534\(nobody\) gid=33\(www-data\) groups=33\(www-data\),1234/
        : /uid=65534\(nobody\) gid=33\(www-data\) groups=.*50\(staff\),1234/,
    );
    const strict = await id("strict", {
      ...nobody,
      supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict,
    });
    assert.match(strict, /groups=33\(www-data\),1234\n/);
    assert.match(await id("name", { runAsUsername: "www-data" }), /^uid=33\(www-data\)/);
    const refused = await failure(id("group", { runAsGroup: { value: 1n } }));
    assert.equal(refused.code, Code.InvalidArgument);
  },

  async "a container is confined as asked: read-only root, masked paths, capabilities, seccomp, no new privileges"(
    world,
  ) {
    await world.pull();
    const pod = await world.pod({
      linux: { securityContext: { privileged: true, namespaceOptions: { pid: NamespaceMode.CONTAINER } } },
    });
    const run = (name: string, securityContext: object) =>
      world.run(pod, forever, { metadata: { name }, linux: { securityContext } });
    const confined = await run("confined", {
      readonlyRootfs: true,
      noNewPrivs: true,
      maskedPaths: ["/proc/keys"],
      readonlyPaths: ["/proc/sys"],
      capabilities: { dropCapabilities: ["ALL"], addCapabilities: ["NET_RAW"] },
      seccomp: { profileType: 0 },
    });
    const proc = await world.exec(confined, "cat", "/proc/self/status");
    assert.match(proc, /CapEff:\s*0000000000002000/);
    assert.match(proc, /NoNewPrivs:\s*1/);
    assert.match(proc, /Seccomp:\s*2/);
    assert.equal(await world.exec(confined, "cat", "/proc/keys"), "");
    assert.match((await failure(world.exec(confined, "touch", "/x"))).message, /Read-only file system/);
    const profile = join(world.dir, "seccomp.json");
    writeFileSync(
      profile,
      JSON.stringify({
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }],
      }),
    );
    const filtered = await run("filtered", { seccomp: { profileType: 2, localhostRef: profile } });
    assert.match((await failure(world.exec(filtered, "mkdir", "/y"))).message, /not permitted/);
    const privileged = await run("privileged", { privileged: true });
    assert.match(await world.exec(privileged, "cat", "/proc/self/status"), /Seccomp:\s*0/);
    await world.exec(privileged, "mount", "-t", "tmpfs", "none", "/tmp");
    assert.ok(
      (await world.exec(privileged, "ls", "/dev")).includes("loop-control\n") ||
        existsSync("/dev/loop-control") === false,
    );
    const plain = await world.pod();
    assert.match(
      (await failure(world.run(plain, forever, { linux: { securityContext: { privileged: true } } })))
        .message,
      /no privileged container allowed in sandbox/,
    );
  },

  async "volumes: read-only, recursive, propagated, an image's; host paths are made"(world) {
    await world.pull();
    const pod = await world.pod();
    const volume = join(world.dir, "volume");
    mkdirSync(join(volume, "below"), { recursive: true });
    sh("mount", "-t", "tmpfs", "below", join(volume, "below"));
    const shared = join(world.dir, "shared");
    mkdirSync(shared);
    const { recursiveReadOnlyMounts } = (await world.runtime.status({})).runtimeHandlers[0]!.features!;
    // A Docker daemon has images as volumes from API 1.48 on.
    const images = !world.server.docker;
    sh("mount", "--bind", shared, shared);
    sh("mount", "--make-rshared", shared);
    try {
      const id = await world.run(pod, forever, {
        mounts: [
          { hostPath: volume, containerPath: "/rw" },
          { hostPath: volume, containerPath: "/ro", readonly: true },
          {
            hostPath: volume,
            containerPath: "/rro",
            readonly: true,
            recursiveReadOnly: recursiveReadOnlyMounts,
          },
          { hostPath: join(world.dir, "made"), containerPath: "/made" },
          {
            hostPath: shared,
            containerPath: "/slave",
            propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
          },
          ...(images
            ? [
                {
                  containerPath: "/image",
                  readonly: true,
                  image: { image: world.registry.busybox },
                  imageSubPath: "etc",
                },
              ]
            : []),
        ],
      });
      await world.exec(id, "touch", "/rw/file", "/ro/below/file", "/made/file");
      assert.ok(existsSync(join(world.dir, "made/file")));
      const readonly = [
        "/ro/file2",
        "/rro/file2",
        ...(recursiveReadOnlyMounts ? ["/rro/below/file2"] : []),
        ...(images ? ["/image/x"] : []),
      ];
      for (const path of readonly)
        assert.match((await failure(world.exec(id, "touch", path))).message, /Read-only file system/, path);
      if (images) assert.match(await world.exec(id, "cat", "/image/group"), /staff/);
      mkdirSync(join(shared, "later"));
      sh("mount", "-t", "tmpfs", "later", join(shared, "later"));
      writeFileSync(join(shared, "later/file"), "seen");
      assert.equal(await world.exec(id, "cat", "/slave/later/file"), "seen");
      sh("umount", join(shared, "later"));
      const refused = world.run(pod, forever, {
        metadata: { name: "bidirectional" },
        mounts: [
          { hostPath: "/", containerPath: "/host", propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL },
        ],
      });
      assert.match((await failure(refused)).message, /not a shared mount/);
      await world.runtime.removePodSandbox({ podSandboxId: pod.id });
    } finally {
      sh("umount", "-R", shared);
      sh("umount", join(volume, "below"));
    }
    assert.deepEqual(world.held(), []);
  },

  async "volumes that an image declares begin with what the image has in their place"(world) {
    const rootfs = join(world.dir, "declared");
    makeBusyboxRootfs(rootfs);
    mkdirSync(join(rootfs, "data/below"), { recursive: true });
    writeFileSync(join(rootfs, "data/below/file"), "of the image\n");
    symlinkSync("below/file", join(rootfs, "data/link"));
    sh("chown", "-R", "65534:65533", join(rootfs, "data"));
    chmodSync(join(rootfs, "data"), 0o2750);
    // Not to be followed out of the image.
    symlinkSync("/etc", join(rootfs, "outside"));
    writeFileSync(join(rootfs, "etc/of-the-image"), "yes");
    // Docker refuses a volume whose path is not absolute; containerd takes it as below the root.
    const odd = world.server.docker ? "/C:/odd" : "C:/odd";
    makeLayout(join(world.dir, "layout"), rootfs, "1", {
      Volumes: { "/data": {}, "/none": {}, [odd]: {}, "/outside": {} },
    });
    const image = `${world.registry.address}/declared:1`;
    const layout = `oci:${join(world.dir, "layout")}:1`;
    sh("skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", layout, `docker://${image}`);
    await world.images.pullImage({ image: { image } });
    const pod = await world.pod();
    const id = await world.run(pod, forever, { image: { image } });
    assert.equal(await world.exec(id, "stat", "-c", "%u:%g %a", "/data"), "65534:65533 2750\n");
    assert.equal(await world.exec(id, "cat", "/data/link"), "of the image\n");
    assert.equal(await world.exec(id, "ls", "/none"), "");
    assert.equal(await world.exec(id, "cat", "/outside/of-the-image"), "yes");
    assert.equal(await world.exec(id, "stat", "-c", "%F", "/C:/odd"), "directory\n");
    await world.exec(id, "sh", "-c", "echo changed > /data/below/file");
    const other = await world.run(pod, forever, { metadata: { name: "other" }, image: { image } });
    assert.equal(await world.exec(other, "cat", "/data/below/file"), "of the image\n");
    await world.runtime.removePodSandbox({ podSandboxId: pod.id });
    assert.deepEqual(world.held(), []);
  },

  async "a log that was moved away is reopened, and nothing of it is lost"(world) {
    await world.pull();
    const pod = await world.pod();
    const id = await world.run(pod, [
      "sh",
      "-c",
      "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.01; done",
    ]);
    const path = join(pod.config.logDirectory, "main.log");
    await until("some lines", () => existsSync(path) && world.readLog(pod).split("\n").length > 20);
    renameSync(path, `${path}.1`);
    await world.runtime.reopenContainerLog({ containerId: id });
    await until("new lines", () => existsSync(path) && world.readLog(pod).split("\n").length > 5);
    await world.runtime.stopContainer({ containerId: id, timeout: 0n });
    const lines = (readFileSync(`${path}.1`, "utf8") + world.readLog(pod)).match(/line \d+/g)!;
    assert.deepEqual(
      lines,
      lines.map((_, index) => `line ${index}`),
    );
  },

  async "host ports lead to the pod"(world) {
    await world.pull();
    const pod = await world.pod({ portMappings: [{ containerPort: 8080, hostPort: 18080 }] });
    await world.run(pod, [
      "sh",
      "-c",
      "mkdir /www; echo page > /www/index.html; exec httpd -f -p 8080 -h /www",
    ]);
    const address = (await world.runtime.podSandboxStatus({ podSandboxId: pod.id })).status!.network!.ip;
    for (const host of [`${address}:8080`, "10.86.0.1:18080"])
      await until(`an answer of ${host}`, () =>
        fetch(`http://${host}/`).then(
          async (response) => (await response.text()) === "page\n",
          () => false,
        ),
      );
  },

  async "events tell of every change of a pod and its containers"(world) {
    const { runtime } = world;
    await world.pull();
    const stop = new AbortController();
    const events: ContainerEventResponse[] = [];
    const following = (async () => {
      for await (const event of runtime.getContainerEvents({}, { signal: stop.signal })) events.push(event);
    })().catch(() => {});
    // The stream is open when the first event of a pod comes through.
    let pod: Pod | undefined;
    await until("the stream", async () => {
      if (pod) await runtime.removePodSandbox({ podSandboxId: pod.id });
      pod = await world.pod();
      await new Promise((next) => setTimeout(next, 50));
      return events.some(({ containerId }) => containerId === pod!.id);
    });
    const id = await world.run(pod!, ["true"]);
    await world.ended(id);
    await runtime.removePodSandbox({ podSandboxId: pod!.id });
    const of = (containerId: string) =>
      events.filter((event) => event.containerId === containerId).map((event) => event.containerEventType);
    const {
      CONTAINER_CREATED_EVENT,
      CONTAINER_STARTED_EVENT,
      CONTAINER_STOPPED_EVENT,
      CONTAINER_DELETED_EVENT,
    } = ContainerEventType;
    const whole = [
      CONTAINER_CREATED_EVENT,
      CONTAINER_STARTED_EVENT,
      CONTAINER_STOPPED_EVENT,
      CONTAINER_DELETED_EVENT,
    ];
    await until("all events", () => of(pod!.id).length === 4);
    assert.deepEqual(of(id), whole);
    assert.deepEqual(of(pod!.id), whole);
    stop.abort();
    await following;
  },

  async "requests at the same time for the same thing make one"(world) {
    const { runtime } = world;
    await world.pull();
    const config = world.podConfig();
    const answers = await Promise.all(Array.from({ length: 5 }, () => runtime.runPodSandbox({ config })));
    assert.equal(new Set(answers.map(({ podSandboxId }) => podSandboxId)).size, 1);
    const pod = { id: answers[0]!.podSandboxId, config };
    const ids = await Promise.all(Array.from({ length: 5 }, () => world.create(pod, forever)));
    assert.equal(new Set(ids).size, 1);
    await Promise.all(ids.map((containerId) => runtime.startContainer({ containerId })));
    await Promise.all(ids.map((containerId) => runtime.stopContainer({ containerId, timeout: 0n })));
    await Promise.all(answers.map(({ podSandboxId }) => runtime.removePodSandbox({ podSandboxId })));
    assert.deepEqual(world.held(), []);
    const pods = await Promise.all(Array.from({ length: 10 }, () => world.pod()));
    await Promise.all(pods.map((one) => world.run(one, forever)));
    const streamed = { pods: 0, containers: 0, images: 0, stats: 0 };
    for await (const { podSandboxes } of runtime.streamPodSandboxes({})) streamed.pods += podSandboxes.length;
    for await (const { containers } of runtime.streamContainers({})) streamed.containers += containers.length;
    for await (const { images } of world.images.streamImages({})) streamed.images += images.length;
    for await (const { podSandboxStats } of runtime.streamPodSandboxStats({}))
      streamed.stats += podSandboxStats.length;
    // Docker's pods are held by a container, which has an image.
    const pause = world.server.docker ? 1 : 0;
    assert.deepEqual(streamed, { pods: 10, containers: 10, images: 1 + pause, stats: 10 });
    assert.equal(
      new Set(
        (await Promise.all(pods.map(({ id }) => runtime.podSandboxStatus({ podSandboxId: id })))).map(
          ({ status }) => status!.network!.ip,
        ),
      ).size,
      10,
    );
    await Promise.all(pods.map(({ id }) => runtime.removePodSandbox({ podSandboxId: id })));
    assert.deepEqual(world.held(), []);
  },

  async "after kill -9 pods run on, ends are known, and nothing is left when they go"(world) {
    await world.pull();
    const shared = { namespaceOptions: { pid: NamespaceMode.POD } };
    const pod = await world.pod({ linux: { securityContext: shared } });
    const lives = await world.run(pod, forever, {
      metadata: { name: "lives" },
      linux: { securityContext: shared },
    });
    const ends = await world.run(pod, ["sh", "-c", "sleep 1; echo last words; exit 5"], {
      metadata: { name: "ends" },
    });
    const created = await world.create(pod, forever, { metadata: { name: "created" } });
    const half = world.runtime.runPodSandbox({ config: world.podConfig() }).catch(() => {});
    await world.killDaemon();
    await half;
    await until("the last words", () => world.readLog(pod, "ends").includes("last words"));
    await world.startDaemon();
    const { runtime } = world;
    assert.equal((await world.status(lives)).state, ContainerState.CONTAINER_RUNNING);
    assert.match(await world.exec(lives, "ps"), /\/pause/);
    assert.equal((await world.ended(ends)).exitCode, 5);
    await runtime.startContainer({ containerId: created });
    assert.equal((await world.status(created)).state, ContainerState.CONTAINER_RUNNING);
    for (const { id } of (await runtime.listPodSandbox({})).items)
      await runtime.removePodSandbox({ podSandboxId: id });
    assert.deepEqual(world.held(), []);
  },

  async "fifty pods with a container each are made and removed side by side"(world) {
    const { runtime } = world;
    await world.pull();
    const pods = await Promise.all(Array.from({ length: 50 }, () => world.pod()));
    const ids = await Promise.all(
      pods.map((pod) => world.run(pod, ["sh", "-c", "echo hello; exec sleep 1000"])),
    );
    const addresses = await Promise.all(
      pods.map(async ({ id }) => (await runtime.podSandboxStatus({ podSandboxId: id })).status!.network!.ip),
    );
    assert.equal(new Set(addresses).size, 50);
    await Promise.all(
      ids.map(async (id, at) => {
        assert.equal((await world.status(id)).state, ContainerState.CONTAINER_RUNNING);
        await until("its words", () => world.readLog(pods[at]!).includes("hello"));
      }),
    );
    await Promise.all(pods.map(({ id }) => runtime.removePodSandbox({ podSandboxId: id })));
    assert.deepEqual(world.held(), []);
  },

  async "five hundred pods with a container each come and go, and nothing grows"(world) {
    const { runtime } = world;
    await world.pull();
    const onHost = { namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER } };
    const cycle = async (at: number) => {
      // Plugins cost more than all the rest: every tenth pod has a network.
      const pod = await world.pod(at % 10 === 0 ? {} : { linux: { securityContext: onHost } });
      const id = await world.run(pod, ["true"]);
      assert.equal((await world.ended(id)).exitCode, 0);
      await runtime.removePodSandbox({ podSandboxId: pod.id });
    };
    const several = async (from: number, to: number) => {
      let next = from;
      const worker = async () => {
        while (next < to) await cycle(next++);
      };
      await Promise.all(Array.from({ length: 4 }, worker));
    };
    // The first ones open what stays open.
    await several(0, 20);
    const open = world.descriptors();
    await several(20, 500);
    assert.deepEqual(world.held(), []);
    // Connections that have just ended are closed a moment later.
    await until(
      `the ${world.descriptors()} descriptors to be ${open} again, or nearly`,
      () => world.descriptors() < open + 10,
    );
    assert.deepEqual((await runtime.listPodSandbox({})).items, []);
  },

  async "killed again and again while pods come and go, the server finds each whole or not at all"(world) {
    await world.pull();
    let over = false;
    let round = 0;
    /** What was promised: containers whose start was answered, and not yet asked to end. */
    const promised = new Set<string>();
    const worker = async () => {
      while (!over) {
        const mine = round;
        try {
          const pod = await world.pod();
          const id = await world.run(pod, forever);
          promised.add(id);
          if (Math.random() < 0.5) continue;
          promised.delete(id);
          await world.runtime.removePodSandbox({ podSandboxId: pod.id });
        } catch (error) {
          // The server is gone: the next one is waited for.
          if (mine === round && !over) await until("the next server", () => mine !== round || over);
          else if (over) return;
          else assert.notEqual(ConnectError.from(error).code, Code.Internal, String(error));
        }
      }
    };
    const workers = Array.from({ length: 4 }, worker);
    for (const delay of [300, 700, 1100]) {
      await new Promise((next) => setTimeout(next, delay));
      await world.killDaemon();
      await world.startDaemon();
      for (const id of promised) {
        // The client's first calls may still be told of the connection that broke.
        const { state } = await until("the server", () =>
          world.status(id).catch((error) => {
            if (ConnectError.from(error).code === Code.NotFound) throw error;
            return undefined;
          }),
        );
        assert.equal(state, ContainerState.CONTAINER_RUNNING, id);
      }
      round++;
    }
    over = true;
    await Promise.all(workers);
    const { runtime } = world;
    const { items } = await runtime.listPodSandbox({});
    for (const { containers } of [await runtime.listContainers({})])
      for (const { podSandboxId } of containers) assert.ok(items.some(({ id }) => id === podSandboxId));
    await Promise.all(items.map(({ id }) => runtime.removePodSandbox({ podSandboxId: id })));
    assert.deepEqual((await runtime.listContainers({})).containers, []);
    assert.deepEqual(world.held(), []);
  },

  async "a pod whose own process is killed is not ready, and is removed without a rest"(world) {
    const { runtime } = world;
    await world.pull();
    const shared = { namespaceOptions: { pid: NamespaceMode.POD } };
    const pod = await world.pod({ linux: { securityContext: shared } });
    const id = await world.run(pod, forever, { linux: { securityContext: shared } });
    const { info } = await runtime.podSandboxStatus({ podSandboxId: pod.id, verbose: true });
    process.kill(JSON.parse(info["info"]!).pid, "SIGKILL");
    await until("not ready", async () => {
      const { status } = await runtime.podSandboxStatus({ podSandboxId: pod.id });
      return status!.state === PodSandboxState.SANDBOX_NOTREADY;
    });
    assert.equal((await world.ended(id)).exitCode, 137);
    await runtime.stopPodSandbox({ podSandboxId: pod.id });
    await runtime.removePodSandbox({ podSandboxId: pod.id });
    assert.deepEqual(world.held(), []);
  },

  async "corten crictl runs commands in a container and forwards a port"(world) {
    const crictl = (...argv: string[]) =>
      run([...corten, "crictl", "--runtime-endpoint", `unix://${world.socket}`, ...argv]);
    await world.pull();
    const pod = await world.pod();
    const id = await world.run(pod, [
      "sh",
      "-c",
      "mkdir /www; echo page > /www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www",
    ]);
    const echo = await run(
      [
        ...corten,
        "crictl",
        "--runtime-endpoint",
        `unix://${world.socket}`,
        "exec",
        "-i",
        id,
        "sh",
        "-c",
        "cat; echo error >&2; exit 4",
      ],
      { input: "input" },
    );
    assert.deepEqual([echo.stdout, echo.code === 0], ["input", false], echo.stderr);
    assert.match((await crictl("ps")).stdout, new RegExp(id.slice(0, 12)));
    assert.match((await crictl("pods")).stdout, /Ready/);
    const port = await freePort();
    const forward = spawn(
      corten[0]!,
      [
        ...corten.slice(1),
        "crictl",
        "--runtime-endpoint",
        `unix://${world.socket}`,
        "port-forward",
        pod.id,
        `${port}:8080`,
      ],
      { stdio: "ignore" },
    );
    try {
      await until("the page", () =>
        fetch(`http://127.0.0.1:${port}/`).then(
          async (response) => (await response.text()) === "page\n",
          () => false,
        ),
      );
    } finally {
      const ended = new Promise((done) => forward.once("exit", done));
      forward.kill("SIGKILL");
      await ended;
    }
  },

  async "users: a pod with a user namespace has root that is nobody on the node, its files and volumes are its own"(
    world,
  ) {
    const { runtime } = world;
    await world.pull();
    // The pod's root is nobody on the way to its files, and must be let through.
    for (const directory of [world.dir, dirname(world.dir)])
      chmodSync(directory, statSync(directory).mode | 0o011);
    const features = (await runtime.status({})).runtimeHandlers[0]!.features!;
    assert.equal(features.userNamespaces, true);
    const ids = [{ hostId: 1_000_000, containerId: 0, length: 65_536 }];
    const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
    const security = { namespaceOptions: { pid: NamespaceMode.CONTAINER, usernsOptions } };
    const pod = await world.pod({ linux: { securityContext: security } });
    const volume = join(world.dir, "users");
    mkdirSync(volume);
    writeFileSync(join(volume, "hosts-file"), "of root\n");
    const id = await world.run(pod, forever, {
      mounts: [
        { hostPath: volume, containerPath: "/mapped", uidMappings: ids, gidMappings: ids },
        { hostPath: volume, containerPath: "/plain" },
        { containerPath: "/image", readonly: true, image: { image: world.registry.busybox } },
      ],
      linux: { securityContext: security },
    });
    assert.match(await world.exec(id, "cat", "/proc/self/uid_map"), /^\s*0\s+1000000\s+65536\n$/);
    assert.equal(
      await world.exec(
        id,
        "stat",
        "-c",
        "%n %u",
        "/bin",
        "/etc/passwd",
        "/mapped/hosts-file",
        "/plain/hosts-file",
        "/image/bin",
        "/etc/hosts",
        "/dev/shm",
      ),
      "/bin 0\n/etc/passwd 0\n/mapped/hosts-file 0\n/plain/hosts-file 65534\n/image/bin 0\n/etc/hosts 0\n/dev/shm 0\n",
    );
    // What root makes: nobody's of the node in the layer and without a mapping, root's through one.
    await world.exec(
      id,
      "sh",
      "-c",
      "echo x > /made; echo x > /mapped/made; echo x >> /etc/passwd; echo x > /dev/shm/made",
    );
    assert.equal(statSync(join(volume, "made")).uid, 0);
    const { info } = await runtime.containerStatus({ containerId: id, verbose: true });
    const { pid } = JSON.parse(info["info"]!);
    assert.equal(statSync(`/proc/${pid}/root/made`).uid, 1_000_000);
    assert.match(readFileSync(`/proc/${pid}/status`, "utf8"), /^Uid:\s+1000000\s/m);
    assert.match((await failure(world.exec(id, "touch", "/plain/no"))).message, /denied|too large/);
    assert.match(
      (await failure(world.exec(id, "sh", "-c", "echo 1 > /proc/sys/kernel/panic"))).message,
      /denied|Read-only/,
    );
    assert.match(await world.exec(id, "ip", "-o", "address"), /eth0/);
    await world.exec(id, "ip", "link", "set", "lo", "mtu", "1400").catch(() => {});
    const second = await world.run(pod, ["sh", "-c", "cat /dev/shm/made; echo hello; sleep 1000"], {
      metadata: { name: "second" },
      linux: { securityContext: { ...security, runAsUser: { value: 33n }, runAsGroup: { value: 33n } } },
    });
    await until("its words", () => world.readLog(pod, "second").includes("hello"));
    assert.match(world.readLog(pod, "second"), /stdout F x\n/);
    assert.equal(
      await world.exec(second, "readlink", "/proc/1/ns/user"),
      await world.exec(id, "readlink", "/proc/1/ns/user"),
    );
    await world.killDaemon();
    await world.startDaemon();
    assert.equal(await world.exec(id, "id", "-u"), "0\n");
    const late = await world.run(pod, forever, {
      metadata: { name: "late" },
      linux: { securityContext: security },
    });
    assert.equal(await world.exec(late, "stat", "-c", "%u", "/bin"), "0\n");
    for (const [words, options] of [
      ["needs uids to map", { pid: NamespaceMode.CONTAINER, usernsOptions: { mode: NamespaceMode.POD } }],
      ["host's network", { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER, usernsOptions }],
    ] as const) {
      const refused = world.runtime.runPodSandbox({
        config: world.podConfig({ linux: { securityContext: { namespaceOptions: options } } }),
      });
      assert.match((await failure(refused)).message, new RegExp(words));
    }
    await world.runtime.removePodSandbox({ podSandboxId: pod.id });
    assert.deepEqual(world.held(), []);
  },

  "the calls of a kubelet are answered as they were": replayKubelet,

  async "CDI devices are found by their names, in the field and in annotations"(world) {
    await world.pull();
    mkdirSync(join(world.dir, "cdi"), { recursive: true });
    writeFileSync(
      join(world.dir, "cdi/vendor.yaml"),
      `cdiVersion: 0.6.0
kind: vendor.com/device
containerEdits:
  env: [DRIVER=on]
devices:
  - name: zero
    containerEdits:
      deviceNodes: [{path: /dev/gpu0, hostPath: /dev/zero}]
      mounts: [{hostPath: ${world.dir}/cdi, containerPath: /driver, options: [ro]}]
  - name: other
    containerEdits:
      env: [OTHER=1]
      deviceNodes: [{path: /dev/gpu1, type: c, major: 1, minor: 11, permissions: r}]
`,
    );
    const pod = await world.pod();
    const id = await world.run(pod, forever, {
      CDIDevices: [{ name: "vendor.com/device=zero" }],
      annotations: { "cdi.k8s.io/plugin_x": "vendor.com/device=other" },
    });
    assert.equal(
      await world.exec(id, "sh", "-c", "head -c 3 /dev/gpu0 | wc -c; echo $DRIVER $OTHER"),
      "3\non 1\n",
    );
    assert.match((await failure(world.exec(id, "sh", "-c", ": > /dev/gpu1"))).message, /not permitted/);
    assert.equal(await world.exec(id, "ls", "/driver"), "vendor.yaml\n");
    const none = world.create(pod, forever, {
      metadata: { name: "none" },
      CDIDevices: [{ name: "vendor.com/device=none" }],
    });
    assert.match((await failure(none)).message, /unresolvable CDI devices vendor.com\/device=none/);
  },

  async "what a pod is to have as a whole is kept, over a restart too"(world) {
    const pod = await world.pod();
    await world.runtime.updatePodSandboxResources({
      podSandboxId: pod.id,
      overhead: { cpuShares: 10n },
      resources: { memoryLimitInBytes: 99n << 20n },
    });
    await world.killDaemon();
    await world.startDaemon();
    const { info } = await world.runtime.podSandboxStatus({ podSandboxId: pod.id, verbose: true });
    const { linux } = JSON.parse(info["info"]!).config;
    assert.deepEqual(
      [linux.overhead.cpuShares, linux.resources.memoryLimitInBytes],
      ["10", String(99 << 20)],
    );
    const missing = world.runtime.updatePodSandboxResources({ podSandboxId: "none" });
    assert.equal((await failure(missing)).code, Code.NotFound);
  },

  async "what is not there says so"(world) {
    const { runtime } = world;
    for (const call of [runtime.checkpointPod({}), runtime.restorePod({})])
      assert.equal((await failure(call)).code, Code.Unimplemented);
    assert.equal((await failure(runtime.runPodSandbox({}))).code, Code.InvalidArgument);
    assert.equal(
      (await failure(runtime.runPodSandbox({ config: world.podConfig(), runtimeHandler: "none" }))).code,
      Code.NotFound,
    );
  },
};

/** A scenario's name with another server than our containerd's own. */
export const on = (server: ServerName, name: string): string => `on ${server}, ${name}`;

const asked = process.argv[2];
if (import.meta.main && asked !== undefined) {
  const [, server, name] = /^(?:on ([^,]+), )?([\s\S]*)$/.exec(asked)!;
  // Sockets of containerd's shims are in one place for all containerds of a machine; what others do there is not our affair.
  if (server !== undefined) {
    mkdirSync("/run/containerd", { recursive: true });
    sh("mount", "-t", "tmpfs", "-o", "mode=711", "shims", "/run/containerd");
  }
  await using world = await World.start((server ?? "corten containerd") as ServerName);
  try {
    await scenarios[name!]!(world);
  } catch (error) {
    // What cannot be taken away after it would hide it.
    process.stderr.write(`${world.log.slice(-4000)}\n${error instanceof Error ? error.stack : error}\n`);
    throw error;
  }
}
