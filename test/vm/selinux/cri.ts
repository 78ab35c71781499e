import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { ImageService, RuntimeService } from "../../../proto/gen/runtime/v1/api_pb.ts";
import { NamespaceMode } from "../../../proto/gen/runtime/v1/common_pb.ts";
import type { ContainerConfigSchema } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import {
  type PodSandboxConfig,
  PodSandboxConfigSchema,
} from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import {
  fileInside,
  fileLabel,
  image,
  labelInside,
  labelOf,
  levelOf,
  makeRoot,
  own,
  ownLevel,
  same,
  start,
  typeOf,
  until,
} from "./guest.ts";

const { NODE, CONTAINER, POD } = NamespaceMode;
type ContainerInit = MessageInitShape<typeof ContainerConfigSchema>;
interface Pod {
  id: string;
  config: PodSandboxConfig;
}

/** A server of pods, and calls of it. */
class Server {
  readonly name: string;
  readonly #argv: string[];
  readonly #socket: string;
  #child!: ReturnType<typeof start>;
  #sessions: Http2SessionManager | undefined;
  runtime!: Client<typeof RuntimeService>;
  images!: Client<typeof ImageService>;
  #count = 0;

  constructor(name: string, socket: string, argv: string[]) {
    this.name = name;
    this.#socket = socket;
    this.#argv = argv;
  }

  async start(): Promise<void> {
    this.#child = start(this.name, ...this.#argv);
    this.#sessions = new Http2SessionManager(
      "http://localhost",
      {},
      { createConnection: () => connect(this.#socket) },
    );
    const transport = createGrpcTransport({ baseUrl: "http://localhost", sessionManager: this.#sessions });
    this.runtime = createClient(RuntimeService, transport);
    this.images = createClient(ImageService, transport);
    await until(() => this.runtime.version({}));
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#sessions?.abort();
    const ended = new Promise((done) => this.#child.once("exit", done));
    this.#child.kill(signal);
    await ended;
  }

  async pod(security: object = {}, namespaces: object = {}): Promise<Pod> {
    const name = `pod-${this.#count++}`;
    const config = create(PodSandboxConfigSchema, {
      metadata: { name, uid: name, namespace: "test", attempt: 0 },
      logDirectory: `/tmp/logs/${name}`,
      linux: {
        cgroupParent: "/pods",
        securityContext: { namespaceOptions: { pid: CONTAINER, ...namespaces }, ...security },
      },
    });
    const { podSandboxId } = await this.runtime.runPodSandbox({ config });
    return { id: podSandboxId, config };
  }

  async create(
    pod: Pod,
    security: object = {},
    mounts: ContainerInit["mounts"] = [],
    command = ["sleep", "1000"],
  ): Promise<string> {
    const { containerId } = await this.runtime.createContainer({
      podSandboxId: pod.id,
      sandboxConfig: pod.config,
      config: {
        metadata: { name: `c${this.#count++}`, attempt: 0 },
        image: { image },
        command,
        mounts,
        linux: {
          securityContext: {
            namespaceOptions: pod.config.linux!.securityContext!.namespaceOptions!,
            maskedPaths: ["/proc/acpi", "/sys/firmware"],
            ...security,
          },
        },
      },
    });
    return containerId;
  }

  /** A running container, with the number of its process. */
  async run(...args: Parameters<Server["create"]>): Promise<{ id: string; pid: number }> {
    const containerId = await this.create(...args);
    await this.runtime.startContainer({ containerId });
    const { info } = await this.runtime.containerStatus({ containerId, verbose: true });
    return { id: containerId, pid: Number((JSON.parse(info["info"] ?? "{}") as { pid: number }).pid) };
  }

  async exec(containerId: string, ...cmd: string[]): Promise<string> {
    const { stdout } = await this.runtime.execSync({ containerId, cmd });
    return new TextDecoder().decode(stdout).replace(/[\0\n]*$/, "");
  }

  async removeAll(): Promise<void> {
    const { items } = await this.runtime.listPodSandbox({});
    for (const { id } of items) await this.runtime.removePodSandbox({ podSandboxId: id });
  }
}

async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "",
    (error: Error) => error.message,
  );
}

/** What both servers do in the same way. */
async function suite(server: Server): Promise<{ pod: Pod; level: string }> {
  const { name } = server;
  await makeRoot(`/var/lib/${name}`);
  await server.start();
  await server.images.pullImage({ image: { image } });
  const pod = await server.pod({}, { pid: POD });
  const one = await server.run(pod);
  const two = await server.run(pod);
  const label = labelOf(one.pid);
  const level = levelOf(label);
  same(`${name}: a container's type`, typeOf(label), "container_t");
  same(`${name}: its level`, ownLevel.test(level), true);
  same(`${name}: the pod's other container has the same`, labelOf(two.pid), label);
  const holder = Number(await server.exec(one.id, "sh", "-c", "cat /proc/1/comm | grep -c pause"));
  same(
    `${name}: so has what holds the pod`,
    [holder, await server.exec(one.id, "cat", "/proc/1/attr/current")],
    [1, label],
  );
  same(`${name}: and an exec`, await server.exec(one.id, "cat", "/proc/self/attr/current"), label);
  const files = `system_u:object_r:container_file_t:${level}`;
  const places = ["/", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/proc/acpi", "/sys/firmware"];
  same(
    `${name}: its files`,
    places.map((path) => labelInside(one.pid, path)),
    places.map(() => files),
  );
  const given = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
  same(
    `${name}: the pod's files`,
    given.map((path) => fileInside(one.pid, path)),
    given.map(() => files),
  );

  const other = await server.run(await server.pod());
  same(`${name}: another pod has another level`, levelOf(labelOf(other.pid)) === level, false);
  const asked = await server.pod({ selinuxOptions: { type: "other_t", level: "s0:c10,c20" } });
  same(
    `${name}: what a pod asks for`,
    labelOf((await server.run(asked)).pid),
    "system_u:system_r:other_t:s0:c10,c20",
  );
  const privileged = await server.pod({ privileged: true });
  same(
    `${name}: a privileged container has none`,
    labelOf((await server.run(privileged, { privileged: true })).pid),
    own,
  );

  for (const kind of ["relabelled", "plain"]) {
    mkdirSync(`/data/${name}/${kind}`, { recursive: true });
    writeFileSync(`/data/${name}/${kind}/file`, kind);
  }
  const mounts = [
    { containerPath: "/relabelled", hostPath: `/data/${name}/relabelled`, selinuxRelabel: true },
    { containerPath: "/plain", hostPath: `/data/${name}/plain` },
  ];
  const volumes = await server.run(pod, {}, mounts);
  same(`${name}: selinux_relabel`, fileLabel(`/data/${name}/relabelled/file`), files);
  same(`${name}: without it`, fileLabel(`/data/${name}/plain/file`), "system_u:object_r:host_file_t:s0");
  const read = (id: string, what: string) => server.exec(id, "sh", "-c", `cat /${what}/file || echo refused`);
  same(`${name}: reads what is relabelled`, await read(volumes.id, "relabelled"), "relabelled");
  same(`${name}: does not read the host's`, await read(volumes.id, "plain"), "refused");
  const foreign = await server.run(await server.pod(), {}, [{ ...mounts[0]!, selinuxRelabel: false }]);
  same(
    `${name}: another pod does not read what is the pod's`,
    await read(foreign.id, "relabelled"),
    "refused",
  );
  const wrong = await refusal(
    server.create(pod, {}, [{ containerPath: "/x", hostPath: "/usr", selinuxRelabel: true }]),
  );
  same(
    `${name}: directories of the system are refused`,
    /SELinux relabeling of \/usr is not allowed$/.test(wrong),
    true,
  );

  await server.end("SIGKILL");
  await server.start();
  same(`${name}: the next server's container in the pod`, labelOf((await server.run(pod)).pid), label);
  return { pod, level };
}

/** A network of one address: nothing is sent. */
function writeNetwork(): void {
  mkdirSync("/opt/cni/bin", { recursive: true });
  mkdirSync("/etc/cni/net.d", { recursive: true });
  const result = JSON.stringify({ cniVersion: "0.4.0", ips: [{ version: "4", address: "10.9.0.2/24" }] });
  writeFileSync("/opt/cni/bin/still", `#!/bin/sh\n[ "$CNI_COMMAND" = ADD ] && echo '${result}'\nexit 0\n`);
  chmodSync("/opt/cni/bin/still", 0o755);
  writeFileSync(
    "/etc/cni/net.d/10-still.conflist",
    JSON.stringify({ cniVersion: "0.4.0", name: "still", plugins: [{ type: "still" }] }),
  );
}

export async function containerd(): Promise<void> {
  writeNetwork();
  const config = "/etc/containerd-test.toml";
  writeFileSync(
    config,
    'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nenable_selinux = true\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."127.0.0.1:5000"]\nendpoint = ["http://127.0.0.1:5000"]\n',
  );
  const server = new Server("containerd", "/run/ctd/containerd.sock", [
    ...["containerd", "--config", config, "--root", "/var/lib/containerd", "--state", "/run/ctd"],
    ...["--address", "/run/ctd/containerd.sock"],
  ]);
  const { pod, level } = await suite(server);
  const typed = labelOf((await server.run(pod, { selinuxOptions: { type: "other_t" } })).pid);
  same(
    "containerd: who asks for a type has a level of its own",
    [typeOf(typed), levelOf(typed) === level],
    ["other_t", false],
  );
  await server.removeAll();
  await server.end("SIGTERM");
}

export async function crio(): Promise<void> {
  writeNetwork();
  const config = "/etc/crio-test.conf";
  writeFileSync(
    config,
    '[crio]\nroot = "/var/lib/crio"\nrunroot = "/run/crio-test"\n[crio.api]\nlisten = "/run/crio-test.sock"\n[crio.runtime]\ncgroup_manager = "cgroupfs"\n[crio.image]\ninsecure_registries = ["127.0.0.1:5000"]\n',
  );
  const server = new Server("crio", "/run/crio-test.sock", [
    "crio",
    "--config",
    config,
    "--config-dir",
    "/etc/none",
  ]);
  const { pod, level } = await suite(server);
  const typed = labelOf((await server.run(pod, { selinuxOptions: { type: "other_t" } })).pid);
  same("crio: who asks for a type has the pod's level", typed, `system_u:system_r:other_t:${level}`);

  const onNetwork = await server.run(await server.pod({}, { network: NODE }));
  same("crio: on the host's network a process has no label", labelOf(onNetwork.pid), own);
  same("crio: but files have one", ownLevel.test(levelOf(labelInside(onNetwork.pid, "/"))), true);
  const seeing = await server.run(await server.pod({}, { pid: NODE }));
  same("crio: who sees the host's processes has none", labelOf(seeing.pid), own);
  mkdirSync("/data/spc", { recursive: true });
  const mount = { containerPath: "/spc", hostPath: "/data/spc", selinuxRelabel: true };
  await server.run(pod, { selinuxOptions: { type: "spc_t" } }, [mount]);
  same("crio: spc_t leaves volumes as they are", fileLabel("/data/spc"), "system_u:object_r:host_file_t:s0");
  await server.removeAll();
  await server.end("SIGTERM");
}
