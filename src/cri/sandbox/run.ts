import { randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { hostname as ownHostname } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { NamespaceMode, PodSandboxMetadataSchema } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { ContainerEventType } from "../../../proto/gen/runtime/v1/event_pb.ts";
import type { PodSandboxConfig } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { Cleanup } from "../../base/cleanup.ts";
import {
  alreadyExists,
  CortenError,
  invalid,
  messageOf,
  notFound,
  unimplemented,
} from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import { mountAll } from "../../sys/mount.ts";
import { setLink } from "../../sys/netlink/link.ts";
import { NETLINK_ROUTE } from "../../sys/netlink/socket.ts";
import { bindNetns, createNetns, openNetlinkIn } from "../../sys/netns.ts";
import { addressesOf } from "../cni/cni.ts";
import { podNetworkRequest } from "../cni/request.ts";
import { runsInMachine, runtimeNamed } from "../config.ts";
import type { Context } from "../context.ts";
import { nowNanoseconds, type Sandbox, type SandboxRecord } from "../records.ts";
import { contextOption, podLabels } from "../spec/selinux.ts";
import { publishEvent } from "./events.ts";
import { startHolder, watchHolder } from "./holder-task.ts";
import { createUtsAndIpc } from "./namespaces.ts";
import { filesOf } from "./paths.ts";
import { resolvConf } from "./resolv-conf.ts";
import { abandonSandbox } from "./stop.ts";
import { idMappingsOf } from "./user-namespace.ts";

const shmOptions = ["noexec", "nosuid", "nodev", "mode=1777", "size=65536k"];

/** A metadata's text: what makes two pods the same. */
export const sandboxKey = ({ metadata = create(PodSandboxMetadataSchema) }: PodSandboxConfig): string =>
  [metadata.name, metadata.namespace, metadata.uid, metadata.attempt].join("_");

/** Makes a pod: namespaces, files, network. One that is there with the same name is the answer to a repeated request. */
export async function runSandbox(
  context: Context,
  config: PodSandboxConfig,
  handler: string,
): Promise<string> {
  const { records } = context;
  if (!runtimeNamed(context.config, handler))
    throw notFound(`failed to get sandbox runtime: no runtime for ${JSON.stringify(handler)} is configured`);
  const key = sandboxKey(config);
  const before = records.sandboxes.all().find((sandbox) => sandboxKey(sandbox.config) === key);
  if (before?.record.state === "ready") return before.record.id;
  if (before)
    throw alreadyExists(
      `failed to reserve sandbox name ${JSON.stringify(key)}: name is reserved for ${JSON.stringify(before.record.id)}`,
    );
  const options = config.linux?.securityContext?.namespaceOptions;
  const mappings = idMappingsOf(options);
  if (mappings && !context.engine.features(handler).userNamespaces)
    throw unimplemented(
      `the runtime of ${JSON.stringify(handler)} is not known to have user namespaces with mapped mounts`,
    );
  const machine = runsInMachine(runtimeNamed(context.config, handler));
  if (machine && options?.pid === NamespaceMode.NODE)
    throw unimplemented("--runtime vm: processes of the host cannot be seen from a machine");
  const hostNetwork = options?.network === NamespaceMode.NODE;
  if (hostNetwork && config.hostname !== "" && config.hostname !== ownHostname())
    throw invalid(
      `a pod on the host's network has the host's name: hostname ${JSON.stringify(config.hostname)} cannot be set`,
    );
  const id = randomBytes(32).toString("hex");
  const namespace = (name: string) => join(context.config.state, "namespaces", `${name}-${id}`);
  const record: SandboxRecord = {
    id,
    state: "making",
    createdAt: nowNanoseconds(),
    runtimeHandler: handler,
    hostNetwork,
    namespaces: {
      ...(mappings ? { user: namespace("user") } : {}),
      ...(hostNetwork ? {} : { net: namespace("net"), uts: namespace("uts") }),
      ...(options?.ipc === NamespaceMode.NODE ? {} : { ipc: namespace("ipc") }),
    },
    holder: mappings !== undefined || machine || (options?.pid ?? NamespaceMode.POD) === NamespaceMode.POD,
    hostname: config.hostname || (hostNetwork ? ownHostname() : id.slice(0, 12)),
    ips: [],
  };
  checkSysctls(config.linux?.sysctls ?? {}, record);
  const labels = podLabels(records.selinux, config.linux?.securityContext, context.config.crioLabels);
  if (labels.process !== "") record.processLabel = labels.process;
  if (labels.mount !== "") record.mountLabel = labels.mount;
  const sandbox: Sandbox = { record, config };
  await using undo = new Cleanup();
  // On record before the first thing is made: a server killed from here on finds all of it.
  records.saveSandbox(sandbox);
  undo.add("take the sandbox away", () => abandonSandbox(context, sandbox));
  if (!mappings) span("cri", "make namespaces", () => makeNamespaces(record));
  makeFiles(context, sandbox);
  if (config.logDirectory !== "") mkdirSync(config.logDirectory, { recursive: true, mode: 0o755 });
  const addition = () => span("cri", "add to network", () => addToNetwork(context, sandbox));
  const holder = () => span("cri", "start holder", () => startHolder(context, sandbox, mappings));
  if (mappings) {
    // Namespaces belong to the user namespace they are made in: a process in it makes them all.
    bindNamespaces(record, await holder());
    await addition();
  } else if (machine) {
    await addition();
    await holder();
  } else await bothOrNone(addition(), record.holder ? holder() : undefined);
  record.state = "ready";
  records.saveSandbox(sandbox);
  undo.release();
  if (record.holder) watchHolder(context, sandbox);
  publishEvent(context, id, id, ContainerEventType.CONTAINER_CREATED_EVENT);
  publishEvent(context, id, id, ContainerEventType.CONTAINER_STARTED_EVENT);
  return id;
}

/** Waits for both before the first failure is thrown: nothing may still be on its way when it is undone. */
async function bothOrNone(...work: Array<Promise<unknown> | undefined>): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === "rejected") throw result.reason;
}

function makeNamespaces({ namespaces }: SandboxRecord): void {
  const { net, uts, ipc } = namespaces;
  if (net !== undefined) {
    createNetns(net);
    setLoopbackUp(net);
  }
  createUtsAndIpc({ ...(uts === undefined ? {} : { uts }), ...(ipc === undefined ? {} : { ipc }) });
}

function setLoopbackUp(net: string): void {
  const socket = openNetlinkIn(net, NETLINK_ROUTE);
  try {
    socket.transact([setLink(1, { up: true })]);
  } finally {
    socket.close();
  }
}

/** The namespaces a pod's process has made, kept by their files. */
function bindNamespaces({ namespaces }: SandboxRecord, pid: number): void {
  for (const [name, path] of Object.entries(namespaces)) {
    const fd = openSync(`/proc/${pid}/ns/${name}`, "r");
    try {
      bindNetns(fd, path);
    } finally {
      closeSync(fd);
    }
  }
  if (namespaces.net !== undefined) setLoopbackUp(namespaces.net);
}

/** hostname, hosts and resolv.conf, which all of the pod's containers see, and its shared memory. */
function makeFiles(context: Context, { record, config }: Sandbox): void {
  const files = filesOf(context, record.id);
  mkdirSync(files.dir, { recursive: true, mode: 0o755 });
  writeFileSync(files.hostname, `${record.hostname}\n`);
  writeFileSync(files.hosts, existsSync("/etc/hosts") ? readFileSync("/etc/hosts") : "");
  writeFileSync(files.resolvConf, resolvConf(config));
  if (record.namespaces.ipc !== undefined) {
    mkdirSync(files.shm, { recursive: true, mode: 0o700 });
    mountAll(
      [
        {
          type: "tmpfs",
          source: "shm",
          options: [...shmOptions, ...contextOption(record.mountLabel)],
        },
      ],
      files.shm,
    );
  }
}

async function addToNetwork(context: Context, sandbox: Sandbox): Promise<void> {
  const { record, config } = sandbox;
  const { net } = record.namespaces;
  if (net === undefined) return;
  try {
    const { cniConfDir } = runtimeNamed(context.config, record.runtimeHandler)!;
    record.network = context.cni.at(cniConfDir).plan(podNetworkRequest(config, record.id));
    context.records.saveSandbox(sandbox);
    await context.cni.add(record.network, record.id, net);
  } catch (error) {
    throw new CortenError(
      "unknown",
      `failed to setup network for sandbox ${JSON.stringify(record.id)}: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
  record.ips = addressesOf(record.network.result);
  if (record.ips.length === 0)
    throw new CortenError("unknown", `failed to find network info for sandbox ${JSON.stringify(record.id)}`);
}

/** Only what belongs to a namespace of the pod's own; the rest would change the machine. */
function checkSysctls(sysctls: Record<string, string>, { namespaces }: SandboxRecord): void {
  for (const name of Object.keys(sysctls)) {
    const dotted = name.replaceAll("/", ".");
    const net = dotted.startsWith("net.");
    const ipc = /^kernel\.(shm|msg|sem)/.test(dotted) || dotted.startsWith("fs.mqueue.");
    if (net && namespaces.net === undefined)
      throw invalid(`sysctl ${JSON.stringify(name)} is not allowed in the host's network namespace`);
    if (ipc && namespaces.ipc === undefined)
      throw invalid(`sysctl ${JSON.stringify(name)} is not allowed in the host's IPC namespace`);
    if (!net && !ipc) throw invalid(`sysctl ${JSON.stringify(name)} is not in a separate kernel namespace`);
  }
}
