import type { ContainerConfig } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import type { PodSandboxConfig } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { invalid } from "../../base/errors.ts";
import { devicesBelow } from "../../oci/devices.ts";
import type { ImageConfig } from "../../oci/image-spec.ts";
import type { LinuxIDMapping, LinuxNamespace, Mount, Spec } from "../../oci/runtime-spec.ts";
import type { Labels } from "../../oci/selinux.ts";
import { cgroupLayout } from "../../sys/cgroup/index.ts";
import type { RuntimeHandlerConfig } from "../config.ts";
import { passedAnnotations } from "./annotations.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { defaultDeviceRules, requestedDevices } from "./devices.ts";
import { byDepth, defaultMounts } from "./mounts.ts";
import { oomScoreAdjustment, resourcesOf } from "./resources.ts";
import { seccompOf } from "./security.ts";

export interface ContainerSpecInput {
  id: string;
  sandboxId: string;
  config: ContainerConfig;
  pod: PodSandboxConfig;
  image: ImageConfig;
  imageName: string;
  runtime: RuntimeHandlerConfig;
  user: { uid: number; gid: number; additionalGids: number[] };
  hostname: string;
  /** Files of the namespaces to join; what is absent is the host's, or for `pid` a new one. */
  namespaces: { user?: string; net?: string; ipc?: string; uts?: string; pid?: string };
  /** Of the user namespace that is joined. */
  idMappings: { uids: LinuxIDMapping[]; gids: LinuxIDMapping[] } | undefined;
  hostPid: boolean;
  hostNetwork: boolean;
  /** The pod's files and shared memory, and the volumes. */
  podMounts: Mount[];
  volumes: Mount[];
  cgroupsPath: string;
  sysctls: Record<string, string>;
  unsetSeccompProfile: string;
  /** AppArmor's profile; absent for none. */
  apparmor?: string | undefined;
  labels: Labels;
  defaultCapabilities?: readonly string[];
}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The OCI spec of a container in a pod, in the values of containerd's CRI plugin. */
export function containerSpec(input: ContainerSpecInput): Spec {
  const { config, pod, image, runtime } = input;
  const security = config.linux?.securityContext;
  const privileged = security?.privileged ?? false;
  if (privileged && !pod.linux?.securityContext?.privileged)
    throw invalid("failed to generate spec opts: no privileged container allowed in sandbox");
  const capabilities = capabilitiesOf({
    privileged,
    add: security?.capabilities?.addCapabilities ?? [],
    drop: security?.capabilities?.dropCapabilities ?? [],
    ...(input.defaultCapabilities ? { defaults: input.defaultCapabilities } : {}),
  });
  const ambient =
    (security?.capabilities?.addAmbientCapabilities ?? []).length > 0
      ? capabilitiesOf({
          privileged: false,
          add: security!.capabilities!.addAmbientCapabilities,
          drop: ["ALL"],
        })
      : [];
  const hostDevices = privileged && !runtime.privilegedWithoutHostDevices;
  const requested = requestedDevices(config.devices);
  const seccomp = seccompOf(
    security?.seccomp,
    security?.seccompProfilePath ?? "",
    privileged,
    capabilities,
    input.unsetSeccompProfile,
  );
  const oom = config.linux?.resources?.oomScoreAdj;
  const mounts = mountsOf(input, privileged);
  return {
    ociVersion: "1.0.2",
    process: {
      ...(config.tty ? { terminal: true } : {}),
      user: input.user,
      args: argumentsOf(config, image),
      env: environmentOf(input),
      cwd: config.workingDir || image.config?.WorkingDir || "/",
      capabilities: {
        bounding: capabilities,
        effective: capabilities,
        permitted: capabilities,
        // Without them a user other than root has none at all.
        ...(ambient.length > 0 ? { inheritable: ambient, ambient } : {}),
      },
      ...(security?.noNewPrivs ? { noNewPrivileges: true } : {}),
      ...(input.apparmor === undefined ? {} : { apparmorProfile: input.apparmor }),
      ...(privileged || input.labels.process === "" ? {} : { selinuxLabel: input.labels.process }),
      oomScoreAdj: oomScoreAdjustment(oom === undefined ? 0 : Number(oom)),
    },
    root: { path: "rootfs", ...(security?.readonlyRootfs ? { readonly: true } : {}) },
    ...(input.namespaces.uts === undefined ? {} : { hostname: input.hostname }),
    mounts,
    annotations: annotationsOf(input),
    linux: {
      ...(Object.keys(input.sysctls).length > 0 ? { sysctl: input.sysctls } : {}),
      resources: {
        devices: hostDevices
          ? [{ allow: true, access: "rwm" }]
          : [...defaultDeviceRules(), ...requested.rules],
        ...resourcesOf(config.linux?.resources),
      },
      cgroupsPath: input.cgroupsPath,
      namespaces: namespacesOf(input, privileged),
      ...(input.idMappings ? { uidMappings: input.idMappings.uids, gidMappings: input.idMappings.gids } : {}),
      ...(hostDevices
        ? { devices: [...devicesBelow("/dev"), ...requested.devices] }
        : requested.devices.length > 0
          ? { devices: requested.devices }
          : {}),
      ...(input.labels.mount === "" ? {} : { mountLabel: input.labels.mount }),
      ...(seccomp ? { seccomp } : {}),
      ...(privileged || !security?.maskedPaths.length ? {} : { maskedPaths: security.maskedPaths }),
      ...(privileged || !security?.readonlyPaths.length ? {} : { readonlyPaths: security.readonlyPaths }),
      ...rootfsPropagation(input.volumes),
    },
  };
}

/** Kubernetes' rule: a command replaces the image's entrypoint and its arguments with it. */
function argumentsOf(config: ContainerConfig, image: ImageConfig): string[] {
  const { command, args } = config;
  const entrypoint = command.length > 0 ? command : (image.config?.Entrypoint ?? []);
  const rest = args.length > 0 || command.length > 0 ? args : (image.config?.Cmd ?? []);
  const all = [...entrypoint, ...rest];
  if (all.length === 0) throw invalid("no command specified");
  return all;
}

function environmentOf({ config, image, hostname }: ContainerSpecInput): string[] {
  const variables = new Map<string, string>();
  const set = (text: string) => {
    const at = text.indexOf("=");
    if (at > 0) variables.set(text.slice(0, at), text.slice(at + 1));
  };
  set(defaultPath);
  if (config.tty) set("TERM=xterm");
  set(`HOSTNAME=${hostname}`);
  for (const entry of image.config?.Env ?? []) set(entry);
  for (const { key, value } of config.envs) variables.set(key, new TextDecoder().decode(value));
  return [...variables].map(([name, value]) => `${name}=${value}`);
}

function namespacesOf({ namespaces, hostPid }: ContainerSpecInput, privileged: boolean): LinuxNamespace[] {
  const out: LinuxNamespace[] = [{ type: "mount" }];
  if (namespaces.user !== undefined) out.push({ type: "user", path: namespaces.user });
  if (namespaces.net !== undefined) out.push({ type: "network", path: namespaces.net });
  if (namespaces.uts !== undefined) out.push({ type: "uts", path: namespaces.uts });
  if (namespaces.ipc !== undefined) out.push({ type: "ipc", path: namespaces.ipc });
  if (!hostPid) out.push({ type: "pid", ...(namespaces.pid === undefined ? {} : { path: namespaces.pid }) });
  if (cgroupLayout().mode === "v2" && !privileged) out.push({ type: "cgroup" });
  return out;
}

function mountsOf(input: ContainerSpecInput, privileged: boolean): Mount[] {
  const taken = new Set(input.volumes.map((mount) => mount.destination));
  const defaults = defaultMounts(privileged).filter(
    (mount) => !taken.has(mount.destination) && !(taken.has("/dev") && mount.destination.startsWith("/dev/")),
  );
  const pod = input.podMounts.filter((mount) => !taken.has(mount.destination));
  return [...defaults, ...byDepth([...pod, ...input.volumes])];
}

/** Shared and slave binds need the root itself to take part. */
function rootfsPropagation(mounts: readonly Mount[]): { rootfsPropagation?: string } {
  const any = (word: string) => mounts.some((mount) => mount.options?.includes(word));
  if (any("rshared")) return { rootfsPropagation: "rshared" };
  if (any("rslave")) return { rootfsPropagation: "rslave" };
  return {};
}

/** What tools that look at a spec (and some runtimes) know a pod's containers by. */
function annotationsOf(input: ContainerSpecInput): Record<string, string> {
  const { sandboxId, config, pod, imageName, runtime } = input;
  return {
    ...passedAnnotations(pod.annotations, runtime.podAnnotations),
    ...passedAnnotations(config.annotations, runtime.containerAnnotations),
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.sandbox-id": sandboxId,
    "io.kubernetes.cri.sandbox-name": pod.metadata?.name ?? "",
    "io.kubernetes.cri.sandbox-namespace": pod.metadata?.namespace ?? "",
    "io.kubernetes.cri.sandbox-uid": pod.metadata?.uid ?? "",
    "io.kubernetes.cri.container-name": config.metadata?.name ?? "",
    "io.kubernetes.cri.image-name": imageName,
  };
}
