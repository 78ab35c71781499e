/** Names of the daemon's containers, by which a pod and its containers are known: dockershim's scheme. */
import { randomBytes } from "node:crypto";
import type { ContainerMetadata, PodSandboxMetadata } from "../../proto/gen/runtime/v1/common_pb.ts";
import { invalid } from "../base/errors.ts";

const prefix = "k8s";
/** In place of a container's name: the one that holds the pod. */
export const sandboxContainerName = "POD";

type Plain<T> = Omit<T, "$typeName" | "$unknown">;

/** `k8s_POD_{pod}_{namespace}_{uid}_{attempt}`. */
export const sandboxName = (pod: Plain<PodSandboxMetadata>): string =>
  nameOf(sandboxContainerName, pod, pod.attempt);

/** `k8s_{container}_{pod}_{namespace}_{uid}_{attempt}`. */
export const containerName = (pod: Plain<PodSandboxMetadata>, container: Plain<ContainerMetadata>): string =>
  nameOf(container.name, pod, container.attempt);

function nameOf(first: string, pod: Plain<PodSandboxMetadata>, attempt: number): string {
  const parts = [first, pod.name, pod.namespace, pod.uid];
  // It could not be taken apart again.
  const wrong = parts.find((part) => part.includes("_"));
  if (wrong !== undefined) throw invalid(`the name ${JSON.stringify(wrong)} must not hold an underscore`);
  return [prefix, ...parts, attempt].join("_");
}

/** For a name the daemon says is taken, by a container it does not have. */
export const otherName = (name: string): string => `${name}_${randomBytes(4).toString("hex")}`;

export interface ParsedName {
  container: Plain<ContainerMetadata>;
  pod: Plain<PodSandboxMetadata>;
}

/** Undefined for a name that is not of this scheme. */
export function parseName(name: string): ParsedName | undefined {
  const parts = name.replace(/^\//, "").split("_");
  const [first, container, pod, namespace, uid, number] = parts;
  if (parts.length !== 6 && parts.length !== 7) return undefined;
  if (first !== prefix || !/^\d{1,10}$/.test(number!) || Number(number) > 0xffff_ffff) return undefined;
  const attempt = Number(number);
  return {
    container: { name: container!, attempt },
    pod: { name: pod!, namespace: namespace!, uid: uid!, attempt },
  };
}
