import type { SELinuxOption } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { invalid, messageOf } from "../../base/errors.ts";
import { isLevel, type Labels, optionsOf, type SelinuxLabels } from "../../oci/selinux.ts";

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

/** The labels of a pod, or of a container, which has its pod's unless it asks for others. */
export function labelsOf(
  labels: SelinuxLabels,
  asked: SELinuxOption | undefined,
  pod: string | undefined,
): Labels {
  const options = labelOptions(asked);
  try {
    return labels.make(options.length > 0 ? options : optionsOf(pod ?? ""));
  } catch (error) {
    throw invalid(`failed to init selinux options: ${messageOf(error)}`, error);
  }
}

/** A mount's option for the label of its files; quoted, since levels have commas. */
export const contextOption = (label: string | undefined): string[] => (label ? [`context="${label}"`] : []);
