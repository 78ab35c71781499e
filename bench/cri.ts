/** Kubernetes' CRI: ours and the one in the real containerd, asked by the same client over gRPC from this process. */
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { ImageService, RuntimeService } from "../proto/gen/runtime/v1/api_pb.ts";
import { NamespaceMode } from "../proto/gen/runtime/v1/common_pb.ts";
import { answers, corten, end, must, type Peer, pause, pidsNaming, pss, start } from "./peers.ts";

export interface CriBench {
  root: string;
  theirs: Peer;
  registry: string;
  small: string;
  compare(
    name: string,
    target: number | undefined,
    ours: () => Promise<unknown>,
    theirs: () => Promise<unknown>,
  ): Promise<void>;
  keep(result: { name: string; unit: "MB"; ours: number; theirs: number }): void;
  wanted(name: string): boolean;
}

/** Pods that run at once for the figure of memory. */
const manyPods = 20;

class CriPeer {
  readonly runtime: Client<typeof RuntimeService>;
  readonly images: Client<typeof ImageService>;
  readonly root: string;
  readonly stop: () => Promise<void>;
  readonly #sessions: Http2SessionManager;
  #pods = 0;

  constructor(root: string, socket: string, stop: () => Promise<void>) {
    this.root = root;
    this.#sessions = new Http2SessionManager(
      "http://localhost",
      {},
      { createConnection: () => connect(socket) },
    );
    const transport = createGrpcTransport({ baseUrl: "http://localhost", sessionManager: this.#sessions });
    this.runtime = createClient(RuntimeService, transport);
    this.images = createClient(ImageService, transport);
    this.stop = async () => {
      this.#sessions.abort();
      await stop();
    };
  }

  /** As kubelet makes them: no shared PID namespace. */
  podConfig(network: NamespaceMode) {
    const name = `pod-${this.#pods++}`;
    return {
      metadata: { name, uid: name, namespace: "bench", attempt: 0 },
      hostname: network === NamespaceMode.NODE ? "" : name,
      logDirectory: join(this.root, "logs", name),
      linux: {
        cgroupParent: "/corten-bench",
        securityContext: { namespaceOptions: { network, pid: NamespaceMode.CONTAINER } },
      },
    };
  }

  async pod(network: NamespaceMode) {
    const config = this.podConfig(network);
    const { podSandboxId } = await this.runtime.runPodSandbox({ config });
    return { id: podSandboxId, config };
  }

  async container(pod: Awaited<ReturnType<CriPeer["pod"]>>, image: string, name: string): Promise<string> {
    const { containerId } = await this.runtime.createContainer({
      podSandboxId: pod.id,
      sandboxConfig: pod.config,
      config: {
        metadata: { name, attempt: 0 },
        image: { image },
        command: ["sleep", "1000"],
        logPath: `${name}.log`,
        linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } },
      },
    });
    await this.runtime.startContainer({ containerId });
    return containerId;
  }

  async remove({ id }: { id: string }): Promise<void> {
    await this.runtime.stopPodSandbox({ podSandboxId: id });
    await this.runtime.removePodSandbox({ podSandboxId: id });
  }

  pids = () => pidsNaming(this.root);
}

async function startPeer(
  kind: "corten" | "containerd",
  root: string,
  sandboxImage: string,
): Promise<CriPeer> {
  mkdirSync(join(root, "net.d"), { recursive: true });
  const index = kind === "corten" ? 1 : 2;
  writeFileSync(
    join(root, "net.d/10.conflist"),
    JSON.stringify({
      cniVersion: "0.4.0",
      name: `bench${index}`,
      plugins: [
        {
          type: "bridge",
          bridge: `criben${index}`,
          isGateway: true,
          ipam: {
            type: "host-local",
            dataDir: join(root, "ipam"),
            ranges: [[{ subnet: `10.99.${index}.0/24` }]],
          },
        },
      ],
    }),
  );
  const config = join(root, "config.toml");
  writeFileSync(
    config,
    `version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]
[ttrpc]
  address = "${join(root, "ttrpc.sock")}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${sandboxImage}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${join(root, "net.d")}"
`,
  );
  const socket = join(root, "c.sock");
  const program = kind === "corten" ? [corten, "containerd"] : ["containerd"];
  const roots = ["--root", join(root, "lib"), "--state", join(root, "run"), "--address", socket];
  const child = start([...program, "--config", config, ...roots], join(root, "log"));
  await answers(socket);
  const peer = new CriPeer(root, socket, () => end(child));
  for (let attempt = 0; ; attempt++) {
    const status = await peer.runtime.status({}).catch(() => undefined);
    if (status?.status?.conditions.every(({ status: ready }) => ready)) return peer;
    if (attempt > 100) throw new Error(`the CRI of ${kind} is not ready: ${JSON.stringify(status?.status)}`);
    await pause(100);
  }
}

/** Milliseconds of `work` alone, with what is before and after it left out. */
async function timed<T>(work: () => Promise<T>): Promise<{ took: number; result: T }> {
  const started = performance.now();
  const result = await work();
  return { took: performance.now() - started, result };
}

export async function benchCri(bench: CriBench): Promise<void> {
  const { root, small, compare, wanted, theirs: docker } = bench;
  const sandboxImage = `${bench.registry}/pause:1`;
  // What holds a pod of the real containerd: a program that waits.
  await must([...docker.cli, "pull", small]);
  await must([...docker.cli, "build", "-q", "-t", sandboxImage, "-"], {
    input: `FROM ${small}\nENTRYPOINT ["/bin/sleep", "2147483647"]\n`,
    env: { DOCKER_BUILDKIT: "0" },
  });
  await must([...docker.cli, "push", sandboxImage]);
  const ours = await startPeer("corten", join(root, "cri-ours"), sandboxImage);
  const theirs = await startPeer("containerd", join(root, "cri-theirs"), sandboxImage);
  try {
    for (const peer of [ours, theirs]) await peer.images.pullImage({ image: { image: small } });

    const run = (peer: CriPeer, network: NamespaceMode) => async () => {
      const { took, result } = await timed(() => peer.pod(network));
      await peer.remove(result);
      return took;
    };
    const whole = (peer: CriPeer, network: NamespaceMode) => async () => {
      const pod = await peer.pod(network);
      await peer.container(pod, small, "main");
      await peer.remove(pod);
    };
    for (const [name, network, target] of [
      ["host network", NamespaceMode.NODE, 5],
      ["bridge", NamespaceMode.POD, 2.5],
    ] as const) {
      await compare(`cri: start a pod (${name})`, target, run(ours, network), run(theirs, network));
      await compare(
        `cri: pod, container, both removed (${name})`,
        undefined,
        whole(ours, network),
        whole(theirs, network),
      );
    }

    if (wanted("cri: start a container in a pod")) {
      const container = async (peer: CriPeer) => {
        const pod = await peer.pod(NamespaceMode.POD);
        let number = 0;
        return async () => {
          const { took, result } = await timed(() => peer.container(pod, small, `c${number++}`));
          await peer.runtime.stopContainer({ containerId: result, timeout: 0n });
          await peer.runtime.removeContainer({ containerId: result });
          return took;
        };
      };
      await compare(
        "cri: start a container in a pod",
        undefined,
        await container(ours),
        await container(theirs),
      );
    }

    if (wanted("cri: per pod with a container, PSS")) {
      const memory = async (peer: CriPeer) => {
        for (const { id } of (await peer.runtime.listPodSandbox({})).items) await peer.remove({ id });
        await pause(3000);
        const idle = pss(peer.pids());
        for (let batch = 0; batch < manyPods; batch += 5)
          await Promise.all(
            Array.from({ length: 5 }, async () =>
              peer.container(await peer.pod(NamespaceMode.POD), small, "main"),
            ),
          );
        await pause(3000);
        return (pss(peer.pids()) - idle) / manyPods;
      };
      bench.keep({
        name: "cri: per pod with a container, PSS",
        unit: "MB",
        ours: await memory(ours),
        theirs: await memory(theirs),
      });
    }
  } finally {
    for (const peer of [ours, theirs]) {
      const pods = await peer.runtime.listPodSandbox({}).catch(() => ({ items: [] }));
      for (const { id } of pods.items) await peer.remove({ id }).catch(() => {});
      await peer.stop();
    }
    await must(["sh", "-c", "rmdir /sys/fs/cgroup/*/corten-bench 2>/dev/null; true"]);
  }
}
