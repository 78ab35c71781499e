/** What is dockershim's own, each on a node of its own: `unshare -n -m bun dockershim.scenarios.ts "on SERVER, NAME"`. */
import assert from "node:assert/strict";
import { existsSync, lstatSync, readFileSync, readlinkSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { ContainerState } from "../../proto/gen/runtime/v1/container_pb.ts";
import { ContainerEventType } from "../../proto/gen/runtime/v1/event_pb.ts";
import { PodSandboxState } from "../../proto/gen/runtime/v1/sandbox_pb.ts";
import { parserFor } from "../../src/crictl/logs/parse.ts";
import { EngineClient } from "../../src/engine/client.ts";
import { corten, run, until } from "../helpers/engine.ts";
import type { ServerName } from "../integration/cri.servers.ts";
import { World } from "../integration/cri.world.ts";

const forever = ["sleep", "1000"];

async function docker(world: World): Promise<EngineClient> {
  const { socket } = world.server.below[0]!;
  const client = new EngineClient({ endpoint: { kind: "unix", path: socket }, hostName: `unix://${socket}` });
  await client.negotiate();
  return client;
}

async function codeOf(work: Promise<unknown>): Promise<Code | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return ConnectError.from(error).code;
  }
}

const checkpointOf = (world: World, id: string) => join(world.dir, "dockershim/sandbox", id);

export const scenarios: Record<string, (world: World) => Promise<void>> = {
  async "names, labels and namespaces are as dockershim has them, and others' containers are left alone"(
    world,
  ) {
    const { runtime } = world;
    await world.pull();
    using client = await docker(world);
    const pod = await world.pod({
      metadata: { name: "web", namespace: "default", uid: "1-2-3", attempt: 2 },
      labels: { app: "web" },
      annotations: { "a.b/c": "d" },
      portMappings: [{ containerPort: 80, hostPort: 18081 }],
    });
    const id = await world.run(pod, forever, {
      metadata: { name: "main", attempt: 5 },
      labels: { "io.kubernetes.container.name": "main" },
      annotations: { hash: "7" },
    });
    const holder = await client.containers.inspect(pod.id);
    assert.equal(holder.Name, "/k8s_POD_web_default_1-2-3_2");
    assert.deepEqual(holder.Config.Labels, {
      app: "web",
      "annotation.a.b/c": "d",
      "io.kubernetes.docker.type": "podsandbox",
      "io.kubernetes.container.name": "POD",
    });
    assert.deepEqual([holder.HostConfig.NetworkMode, holder.HostConfig.IpcMode], ["none", "shareable"]);
    assert.equal(holder.HostConfig.CgroupParent, world.cgroupParent);
    const container = await client.containers.inspect(id);
    assert.equal(container.Name, "/k8s_main_web_default_1-2-3_5");
    const logPath = join(pod.config.logDirectory, "main.log");
    assert.deepEqual(container.Config.Labels, {
      "io.kubernetes.container.name": "main",
      "annotation.hash": "7",
      "io.kubernetes.docker.type": "container",
      "io.kubernetes.sandbox.id": pod.id,
      "io.kubernetes.container.logpath": logPath,
    });
    const shared = `container:${pod.id}`;
    assert.deepEqual([container.HostConfig.NetworkMode, container.HostConfig.IpcMode], [shared, shared]);
    // What kubelet reads is the daemon's own file.
    assert.equal(readlinkSync(logPath), container.LogPath);
    assert.match(readFileSync(checkpointOf(world, pod.id), "utf8"), /^\{"version":"v1","name":"web",/);
    const status = await world.status(id);
    assert.deepEqual(
      [status.labels, status.annotations, status.metadata!.attempt, status.logPath],
      [{ "io.kubernetes.container.name": "main" }, { hash: "7" }, 5, logPath],
    );
    assert.match(status.imageRef, /^docker-pullable:\/\/127\.0\.0\.1:\d+\/busybox@sha256:/);
    const { status: sandbox } = await runtime.podSandboxStatus({ podSandboxId: pod.id });
    assert.deepEqual([sandbox!.labels, sandbox!.annotations], [{ app: "web" }, { "a.b/c": "d" }]);
    const other = await client.containers.create(
      { Image: world.registry.busybox, Cmd: forever, HostConfig: { NetworkMode: "none" } },
      { name: "someones" },
    );
    try {
      await client.containers.start(other.Id);
      for (const name of [other.Id, "someones"]) {
        assert.equal(await codeOf(runtime.containerStatus({ containerId: name })), Code.NotFound);
        await runtime.stopContainer({ containerId: name, timeout: 0n });
        await runtime.removeContainer({ containerId: name });
        await runtime.removePodSandbox({ podSandboxId: name });
      }
      assert.equal((await runtime.listContainers({})).containers.length, 1);
      assert.equal((await client.containers.inspect(other.Id)).State.Running, true);
    } finally {
      await client.containers.remove(other.Id, { force: true });
    }
    await runtime.removeContainer({ containerId: id });
    assert.equal(existsSync(logPath) || lstatSync(logPath, { throwIfNoEntry: false }) !== undefined, false);
    await runtime.removePodSandbox({ podSandboxId: pod.id });
    assert.deepEqual(world.held(), []);
  },

  async "a pod whose container is gone is found by its checkpoint, and gives its network back"(world) {
    await world.pull();
    using client = await docker(world);
    const seen = await world.pod({ portMappings: [{ containerPort: 80, hostPort: 18082 }] });
    const unseen = await world.pod({ portMappings: [{ containerPort: 80, hostPort: 18083 }] });
    await client.containers.remove(seen.id, { force: true });
    await world.killDaemon();
    await client.containers.remove(unseen.id, { force: true });
    assert.equal(world.held().filter((name) => /^10\.86\./.test(name)).length, 2);
    await world.startDaemon();
    const { runtime } = world;
    const { items } = await runtime.listPodSandbox({});
    assert.deepEqual(
      items.map(({ id, state, metadata }) => [id, state, metadata!.name, metadata!.uid]).sort(),
      [seen, unseen]
        .map(({ id, config: { metadata } }) => [
          id,
          PodSandboxState.SANDBOX_NOTREADY,
          metadata!.name,
          metadata!.uid,
        ])
        .sort(),
    );
    for (const { id } of [seen, unseen]) {
      const { status } = await runtime.podSandboxStatus({ podSandboxId: id });
      assert.equal(status!.state, PodSandboxState.SANDBOX_NOTREADY);
      await runtime.stopPodSandbox({ podSandboxId: id });
      await runtime.removePodSandbox({ podSandboxId: id });
    }
    assert.equal((await runtime.listPodSandbox({})).items.length, 0);
    assert.deepEqual(world.held(), []);
  },

  async "a pod that a killed server left half made is not ready, and makes way for the same one"(world) {
    await world.pull();
    const pod = await world.pod();
    await world.killDaemon();
    const path = checkpointOf(world, pod.id);
    // As it is between the call of the plugins and the end of the making.
    writeFileSync(path, readFileSync(path, "utf8").replace('"state":"ready"', '"state":"making"'));
    await world.startDaemon();
    const { runtime } = world;
    const { status } = await runtime.podSandboxStatus({ podSandboxId: pod.id });
    assert.equal(status!.state, PodSandboxState.SANDBOX_NOTREADY);
    assert.notEqual(await codeOf(world.create(pod, forever)), undefined);
    const { podSandboxId } = await runtime.runPodSandbox({ config: pod.config });
    assert.notEqual(podSandboxId, pod.id);
    const again = await runtime.runPodSandbox({ config: pod.config });
    assert.equal(again.podSandboxId, podSandboxId);
    assert.equal(world.held().filter((name) => /^10\.86\./.test(name)).length, 1);
    await runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual(world.held(), []);
  },

  async "pods that cri-dockerd made are taken over: address, host ports, and their end"(world) {
    await world.pull();
    const pod = await world.pod({ portMappings: [{ containerPort: 80, hostPort: 18084 }] });
    const id = await world.run(pod, forever);
    const before = (await world.runtime.podSandboxStatus({ podSandboxId: pod.id })).status!.network!.ip;
    await world.killDaemon();
    const path = checkpointOf(world, pod.id);
    const { corten: _, ...theirs } = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify(theirs));
    await world.startDaemon();
    const { runtime } = world;
    const { status } = await runtime.podSandboxStatus({ podSandboxId: pod.id });
    assert.deepEqual([status!.state, status!.network!.ip], [PodSandboxState.SANDBOX_READY, before]);
    assert.match(await world.exec(id, "ip", "-o", "address"), new RegExp(before));
    await runtime.removePodSandbox({ podSandboxId: pod.id });
    assert.deepEqual(world.held(), []);
  },

  async "the daemon is killed and comes back: the server says so, pods run on, events go on"(world) {
    const { runtime } = world;
    await world.pull();
    const pod = await world.pod();
    const id = await world.run(pod, forever);
    const stop = new AbortController();
    const seen: string[] = [];
    const following = (async () => {
      for await (const event of runtime.getContainerEvents({}, { signal: stop.signal }))
        seen.push(`${event.containerId} ${ContainerEventType[event.containerEventType]}`);
    })().catch(() => {});
    const ready = async () => (await runtime.status({})).status!.conditions[0]!;
    assert.equal((await ready()).status, true);
    await world.killBelow();
    await until("the word of it", async () => (await ready()).reason === "DockerDaemonNotReady");
    assert.equal(await codeOf(runtime.listContainers({})), Code.Unavailable);
    await world.startBelow();
    await until("its return", async () => (await ready()).status);
    assert.equal((await world.status(id)).state, ContainerState.CONTAINER_RUNNING);
    assert.equal(await world.exec(id, "echo", "still here"), "still here\n");
    // The stream of events finds the daemon again by itself; from when on, an event tells.
    await until("an event", async () => {
      const other = await world.pod();
      await runtime.removePodSandbox({ podSandboxId: other.id });
      return seen.some((event) => event.startsWith(other.id));
    });
    await runtime.stopContainer({ containerId: id, timeout: 0n });
    await until("its end", () => seen.includes(`${id} CONTAINER_STOPPED_EVENT`));
    stop.abort();
    await following;
    await runtime.removePodSandbox({ podSandboxId: pod.id });
    assert.deepEqual(world.held(), []);
  },

  async "after a rotation the log is copied, also over kill -9, and no line is lost or doubled"(world) {
    await world.pull();
    const pod = await world.pod();
    // Every other line is longer than a message of the daemon's.
    const long = "x".repeat(20_000);
    const loop = `i=0; while :; do echo line $i; i=$((i+1)); echo line $i ${long}; i=$((i+1)); sleep 0.04; done`;
    const id = await world.run(pod, ["sh", "-c", loop]);
    const path = join(pod.config.logDirectory, "main.log");
    const read = (file: string) => {
      let text = "";
      for (const line of existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [])
        text += String(parserFor(Buffer.from(line))(Buffer.from(`${line}\n`)).text);
      return text.split("\n").slice(0, -1);
    };
    await until("some lines", () => read(path).length > 10);
    renameSync(path, `${path}.1`);
    await world.runtime.reopenContainerLog({ containerId: id });
    await until("the first copies", () => read(path).length > 10);
    assert.equal(lstatSync(`${path}.1`).isFile(), true);
    await world.killDaemon();
    await new Promise((done) => setTimeout(done, 300));
    await world.startDaemon();
    const had = read(path).length;
    await until("more copies", () => read(path).length > had + 10);
    renameSync(path, `${path}.2`);
    await world.runtime.reopenContainerLog({ containerId: id });
    await until("a new file", () => read(path).length > 5);
    await world.runtime.stopContainer({ containerId: id, timeout: 0n });
    await world.status(id);
    const all = [`${path}.1`, `${path}.2`, path].flatMap(read);
    assert.deepEqual(
      all,
      all.map((_, index) => (index % 2 === 0 ? `line ${index}` : `line ${index} ${long}`)),
    );
    const shown = await run([
      ...corten,
      ...["crictl", "--runtime-endpoint", `unix://${world.socket}`, "logs", id],
    ]);
    assert.equal(
      shown.stdout,
      read(path)
        .map((line) => `${line}\n`)
        .join(""),
    );
  },
};

const asked = process.argv[2];
if (import.meta.main && asked !== undefined) {
  const [, server, name] = /^on ([^,]+), ([\s\S]*)$/.exec(asked)!;
  await using world = await World.start(server as ServerName);
  try {
    await scenarios[name!]!(world);
  } catch (error) {
    process.stderr.write(`${world.log.slice(-4000)}\n`);
    throw error;
  }
}
