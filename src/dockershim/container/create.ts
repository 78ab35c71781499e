import { NamespaceMode } from "../../../proto/gen/runtime/v1/common_pb.ts";
import type { ContainerConfig } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import type { PodSandboxConfig } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { alreadyExists, conflict, invalid } from "../../base/errors.ts";
import type { Context } from "../context.ts";
import { createNamed, NameTaken } from "../create.ts";
import { findContainer, getContainer, getSandbox } from "../find.ts";
import { getImage } from "../images/calls.ts";
import { sandboxIdLabel } from "../labels.ts";
import { containerName, parseName } from "../naming.ts";
import { cgroupParentOf } from "../sandbox/run.ts";
import { isReady } from "../sandbox/status.ts";
import { containerRequest } from "./config.ts";
import { mountsOf } from "./mounts.ts";

/** Makes a container in a pod. One that is there with the same name is the answer to a repeated request. */
export async function createContainer(
  context: Context,
  podSandboxId: string,
  config: ContainerConfig,
  pod: PodSandboxConfig,
): Promise<string> {
  const sandbox = await getSandbox(context, podSandboxId);
  if (!isReady(context, sandbox))
    throw conflict(`failed to create container: sandbox ${JSON.stringify(sandbox.Id)} is not ready`);
  const security = config.linux?.securityContext;
  // cri-dockerd's pods tell by their container.
  const privileged = context.checkpoints.get(sandbox.Id)?.own?.privileged ?? sandbox.HostConfig.Privileged;
  if (security?.privileged && !privileged) throw conflict("no privileged container allowed in sandbox");
  const image = await getImage(context, config.image?.image ?? "");
  const request = containerRequest(config, pod, {
    sandboxId: sandbox.Id,
    runtime: sandbox.HostConfig.Runtime,
    cgroupParent: await cgroupParentOf(context, pod),
    imageUser: image.Config?.User ?? "",
    mounts: mountsOf(context, config.mounts),
    targetId: await targetOf(context, sandbox.Id, config),
  });
  const name = containerName(parseName(sandbox.Name)!.pod, config.metadata!);
  try {
    return await createNamed(context, name, request);
  } catch (error) {
    if (!(error instanceof NameTaken)) throw error;
    const before = await findContainer(context, error.id);
    if (before?.State.Status === "created" && before.Config.Labels?.[sandboxIdLabel] === sandbox.Id)
      return before.Id;
    throw alreadyExists(
      `failed to reserve container name ${JSON.stringify(name)}: name is reserved for ${JSON.stringify(error.id)}`,
      error,
    );
  }
}

/** The container whose processes are to be seen. */
async function targetOf(context: Context, sandboxId: string, { linux }: ContainerConfig): Promise<string> {
  const options = linux?.securityContext?.namespaceOptions;
  if (options?.pid !== NamespaceMode.TARGET) return "";
  const target = await getContainer(context, options.targetId);
  if (target.Config.Labels?.[sandboxIdLabel] !== sandboxId)
    throw invalid(`container ${JSON.stringify(target.Id)} (target) is not in the same pod`);
  if (!target.State.Running) throw conflict(`container ${JSON.stringify(target.Id)} (target) is not running`);
  return target.Id;
}
