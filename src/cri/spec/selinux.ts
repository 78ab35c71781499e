import { NamespaceMode, type SELinuxOption } from "../../../proto/gen/runtime/v1/common_pb.ts";
import type { LinuxContainerSecurityContext } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import type { LinuxSandboxSecurityContext } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { invalid, messageOf } from "../../base/errors.ts";
import { isLevel, type Labels, optionsOf, type SelinuxLabels } from "../../oci/selinux.ts";

const none: Labels = { process: "", mount: "" };

/** What CRI-O does otherwise than containerd. */
export interface CrioLabels {
  /** False: processes on the host's network have no label (`hostnetwork_disable_selinux`). */
  hostNetwork: boolean;
}

/** Kubernetes' options as those of a label. A level is checked also where there are no labels, as containerd's is. */
export function labelOptions(options: SELinuxOption | undefined): string[] {
  if (!options) return [];
  const { user, role, type, level } = options;
  if (level !== "" && !isLevel(level))
    throw invalid(`the format of 'level' ${JSON.stringify(level)} is not correct`);
  return Object.entries({ user, role, type, level }).flatMap(([name, value]) =>
    value === "" ? [] : [`${name}:${value}`],
  );
}

function make(labels: SelinuxLabels, options: string[]): Labels {
  try {
    return labels.make(options);
  } catch (error) {
    throw invalid(`failed to init selinux options: ${messageOf(error)}`, error);
  }
}

type Security = Pick<
  LinuxSandboxSecurityContext | LinuxContainerSecurityContext,
  "selinuxOptions" | "namespaceOptions"
>;

/** CRI-O does not keep those apart that see the host's processes or memory. */
const seesHost = (security: Security | undefined): boolean =>
  security?.namespaceOptions?.pid === NamespaceMode.NODE ||
  security?.namespaceOptions?.ipc === NamespaceMode.NODE;

/** The labels of a pod. */
export function podLabels(
  labels: SelinuxLabels,
  security: Security | undefined,
  crio: CrioLabels | undefined,
): Labels {
  const options = labelOptions(security?.selinuxOptions);
  return crio && seesHost(security) ? none : make(labels, options);
}

/**
 * The labels of a container in a pod with the label `pod`: its pod's, unless it asks for others. With containerd these are then all
 * of its own; with CRI-O it has its pod's for what it does not ask for. `process` is what its process gets.
 */
export function containerLabels(
  labels: SelinuxLabels,
  security: Security | undefined,
  pod: string | undefined,
  crio: CrioLabels | undefined,
): Labels & { kept: Labels } {
  const asked = labelOptions(security?.selinuxOptions);
  const pods = optionsOf(pod ?? "");
  if (crio && seesHost(security)) return { ...none, kept: none };
  const kept = make(labels, crio ? [...pods, ...asked] : asked.length > 0 ? asked : pods);
  const bare = crio && !crio.hostNetwork && security?.namespaceOptions?.network === NamespaceMode.NODE;
  return { ...kept, ...(bare ? { process: "" } : {}), kept };
}

/** CRI-O leaves volumes as they are for containers that may use any file. */
export const relabelsVolumes = (
  crio: CrioLabels | undefined,
  container: Security | undefined,
  pod: Security | undefined,
): boolean => !crio || (container?.selinuxOptions?.type || pod?.selinuxOptions?.type) !== "spc_t";

/** A mount's option for the label of its files; quoted, since levels have commas. */
export const contextOption = (label: string | undefined): string[] => (label ? [`context="${label}"`] : []);

/** Layers mounted with the label of a container's files. */
export const labelledMounts = <M extends { options: string[] }>(
  mounts: readonly M[],
  label: string | undefined,
): M[] =>
  mounts.map((mount) => (label ? { ...mount, options: [...mount.options, ...contextOption(label)] } : mount));
