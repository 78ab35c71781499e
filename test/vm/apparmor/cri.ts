import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { create } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { ImageService, RuntimeService } from "../../../proto/gen/runtime/v1/api_pb.ts";
import { NamespaceMode, SecurityProfile_ProfileType } from "../../../proto/gen/runtime/v1/common_pb.ts";
import {
  type PodSandboxConfig,
  PodSandboxConfigSchema,
} from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { image, labelOf, loaded, own, refusal, same, start, unconfined, until } from "./guest.ts";

const { RuntimeDefault, Unconfined, Localhost } = SecurityProfile_ProfileType;
const type = (profileType: SecurityProfile_ProfileType, localhostRef = "") => ({
  apparmor: { profileType, localhostRef },
});

/** A server of pods with one pod, and calls of it. */
class Server {
  #child!: ReturnType<typeof start>;
  #sessions: Http2SessionManager | undefined;
  #pods: Array<{ id: string; config: PodSandboxConfig }> = [];
  #count = 0;
  runtime!: Client<typeof RuntimeService>;

  constructor(
    readonly name: string,
    readonly socket: string,
    readonly argv: string[],
  ) {}

  async start(): Promise<void> {
    this.#child = start(this.name, ...this.argv);
    this.#sessions = new Http2SessionManager(
      "http://localhost",
      {},
      { createConnection: () => connect(this.socket) },
    );
    const transport = createGrpcTransport({ baseUrl: "http://localhost", sessionManager: this.#sessions });
    this.runtime = createClient(RuntimeService, transport);
    await this.#child.until(() => this.runtime.version({}));
    await createClient(ImageService, transport).pullImage({ image: { image } });
  }

  log = () => this.#child.log();
  signal = (signal: NodeJS.Signals) => this.#child.signal(signal);

  async #pod(privileged: boolean) {
    const name = `pod-${this.#count++}`;
    const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER };
    const config = create(PodSandboxConfigSchema, {
      metadata: { name, uid: name, namespace: "test", attempt: 0 },
      logDirectory: `/tmp/logs/${name}`,
      linux: { cgroupParent: "/pods", securityContext: { namespaceOptions, privileged } },
    });
    const pod = { id: (await this.runtime.runPodSandbox({ config })).podSandboxId, config };
    this.#pods[Number(privileged)] = pod;
    return pod;
  }

  async #create(security: { privileged?: boolean }): Promise<string> {
    const pod =
      this.#pods[Number(security.privileged ?? false)] ?? (await this.#pod(security.privileged ?? false));
    const { containerId } = await this.runtime.createContainer({
      podSandboxId: pod.id,
      sandboxConfig: pod.config,
      config: {
        metadata: { name: `c${this.#count++}`, attempt: 0 },
        image: { image },
        command: ["sleep", "1000"],
        linux: {
          securityContext: {
            namespaceOptions: pod.config.linux!.securityContext!.namespaceOptions!,
            ...security,
          },
        },
      },
    });
    return containerId;
  }

  /** The profile of a container with this security context. */
  async profile(security: object = {}): Promise<string> {
    return labelOf(await this.pid(await this.started(security)));
  }

  async started(security: object = {}): Promise<string> {
    const containerId = await this.#create(security);
    await this.runtime.startContainer({ containerId });
    return containerId;
  }

  async pid(containerId: string): Promise<number> {
    const { info } = await this.runtime.containerStatus({ containerId, verbose: true });
    return (JSON.parse(info["info"] ?? "{}") as { pid: number }).pid;
  }

  refusal = (security: object) => refusal(this.#create(security));

  async exec(containerId: string, ...cmd: string[]): Promise<string> {
    const { stdout } = await this.runtime.execSync({ containerId, cmd });
    return new TextDecoder().decode(stdout).replace(/[\0\n]*$/, "");
  }

  async end(): Promise<void> {
    for (const { id } of (await this.runtime.listPodSandbox({})).items)
      await this.runtime.removePodSandbox({ podSandboxId: id });
    this.#pods = [];
    this.#sessions?.abort();
    await this.#child.end();
  }
}

/** What both servers do in the same way. */
async function suite(server: Server, name: string): Promise<void> {
  const { name: of } = server;
  const byDefault = `${name} (enforce)`;
  const one = await server.started();
  same(`${of}: the default is a profile`, labelOf(await server.pid(one)), byDefault);
  same(`${of}: an exec's`, await server.exec(one, "cat", "/proc/self/attr/current"), byDefault);
  same(`${of}: RuntimeDefault`, await server.profile(type(RuntimeDefault)), byDefault);
  same(`${of}: Unconfined`, await server.profile(type(Unconfined)), unconfined);
  const localhost = await server.started(type(Localhost, "own"));
  same(`${of}: Localhost`, labelOf(await server.pid(localhost)), own);
  const denied = ["sh", "-c", "(echo > /denied) 2>/dev/null && echo written || echo denied"];
  same(
    `${of}: which denies what it says, and the default does not`,
    [await server.exec(localhost, ...denied), await server.exec(one, ...denied)],
    ["denied", "written"],
  );
  same(
    `${of}: the older field`,
    [
      await server.profile({ apparmorProfile: "unconfined" }),
      await server.profile({ apparmorProfile: "localhost/own" }),
    ],
    [unconfined, own],
  );
  same(`${of}: a privileged container`, await server.profile({ privileged: true }), unconfined);
}

export async function containerd(): Promise<void> {
  const config = "/etc/containerd-test.toml";
  writeFileSync(
    config,
    'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."127.0.0.1:5000"]\nendpoint = ["http://127.0.0.1:5000"]\n',
  );
  const server = new Server("containerd", "/run/ctd/containerd.sock", [
    ...["containerd", "--config", config, "--root", "/var/lib/ctd", "--state", "/run/ctd"],
    ...["--address", "/run/ctd/containerd.sock"],
  ]);
  await server.start();
  same("containerd: nothing is loaded before it is needed", loaded("cri-containerd.apparmor.d"), false);
  await suite(server, "cri-containerd.apparmor.d");
  same(
    "containerd: a privileged container with a profile of its own",
    await server.profile({ privileged: true, ...type(Localhost, "own") }),
    own,
  );
  const failed = "failed to generate apparmor spec opts: ";
  same(
    "containerd: what is refused",
    [
      await server.refusal(type(Localhost, "not-there")),
      await server.refusal(type(RuntimeDefault, "own")),
      await server.refusal({ apparmorProfile: "own" }),
    ].map((message) => message.slice(message.indexOf(failed) + failed.length)),
    [
      "apparmor profile not found not-there",
      "apparmor config invalid LocalhostRef must only be set if ProfileType is Localhost",
      'invalid profile "own"',
    ],
  );
  await server.end();
}

export async function crio(): Promise<void> {
  const config = "/etc/crio-test.conf";
  const write = (profile?: string) =>
    writeFileSync(
      config,
      `[crio]\nroot = "/var/lib/crio-test"\nrunroot = "/run/crio-test"\n[crio.api]\nlisten = "/run/crio-test.sock"\n[crio.runtime]\ncgroup_manager = "cgroupfs"\n${profile === undefined ? "" : `apparmor_profile = "${profile}"\n`}[crio.image]\ninsecure_registries = ["127.0.0.1:5000"]\n`,
    );
  const argv = ["crio", "--config", config, "--config-dir", "/etc/none"];
  write("not-there");
  const wrong = start("crio-wrong", ...argv);
  same("crio: a default that is not loaded ends the start", (await wrong.ended) === 0, false);
  same(
    "crio: with its reason",
    wrong
      .log()
      .includes(
        'unable to load AppArmor profile: config provided AppArmor profile \\"not-there\\" not loaded',
      ) ||
      wrong
        .log()
        .includes('unable to load AppArmor profile: config provided AppArmor profile "not-there" not loaded'),
    true,
  );
  write();
  const server = new Server("crio", "/run/crio-test.sock", argv);
  await server.start();
  same("crio: its start loads crio-default", loaded("crio-default"), true);
  await suite(server, "crio-default");
  const message = await server.refusal(type(Localhost, "not-there"));
  same(
    "crio: a profile that is not loaded",
    message.slice(message.indexOf("container create failed")),
    'container create failed: apparmor profile "not-there" is not loaded',
  );
  same(
    "crio: Localhost without a name",
    (await server.refusal(type(Localhost))).endsWith("empty localhost AppArmor profile is forbidden"),
    true,
  );
  write("own");
  server.signal("SIGHUP");
  await until(() => /configuration read again.*apparmor_profile/.test(server.log()));
  same("crio: apparmor_profile, read again", await server.profile(), own);
  write("not-there");
  server.signal("SIGHUP");
  await until(() => /unable to reload apparmor_profile/.test(server.log()));
  same("crio: one that is not loaded changes nothing", await server.profile(), own);
  await server.end();
}
