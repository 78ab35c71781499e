import { mkdirSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { create } from "@bufbuild/protobuf";
import { NamespaceMode, PodSandboxMetadataSchema } from "../../../proto/gen/runtime/v1/common_pb.ts";
import type { PodSandboxConfig } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import { Cleanup } from "../../base/cleanup.ts";
import { alreadyExists, CortenError, isCode, messageOf, unimplemented } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { resolvConf } from "../../cri/sandbox/resolv-conf.ts";
import type { CreateContainerRequest } from "../../engine/types.ts";
import type { Checkpoint, OwnPart } from "../checkpoints.ts";
import type { Context } from "../context.ts";
import { createNamed, NameTaken } from "../create.ts";
import { findSandbox, getSandbox } from "../find.ts";
import { sandboxName } from "../naming.ts";
import { ensurePauseImage } from "../pause-image.ts";
import { cgroupDriverOf, runtimeFor } from "../status.ts";
import { checkpointData, sandboxRequest } from "./config.ts";
import { addToNetwork, netnsOf, removeFromNetwork } from "./network.ts";
import { discardSandbox } from "./stop.ts";

/** Makes a pod: a container that holds its namespaces, DNS, network. One that is there with the same name is the answer to a repeated request. */
export async function runSandbox(
  context: Context,
  config: PodSandboxConfig,
  handler: string,
): Promise<string> {
  const security = config.linux?.securityContext;
  if (security?.namespaceOptions?.usernsOptions?.mode === NamespaceMode.POD)
    throw unimplemented("user namespaces of pods are not there with the Engine API");
  const metadata = config.metadata ?? create(PodSandboxMetadataSchema);
  const name = sandboxName(metadata);
  const runtime = await runtimeFor(context, handler);
  const request = sandboxRequest(config, await ensurePauseImage(context), {
    runtime,
    networkPlugin: context.options.networkPlugin,
    cgroupParent: await cgroupParentOf(context, config),
  });
  const made = await createHolder(context, name, request);
  if (made.ready) return made.id;
  const { id } = made;
  await using undo = new Cleanup();
  undo.add("remove the pod's container", () =>
    context.client.containers.remove(id, { force: true, volumes: true }),
  );
  const checkpoint: Checkpoint & { own: OwnPart } = {
    name: metadata.name,
    namespace: metadata.namespace,
    data: checkpointData(config),
    own: {
      uid: metadata.uid,
      attempt: metadata.attempt,
      state: "making",
      ips: [],
      privileged: security?.privileged ?? false,
    },
  };
  // Before anything outside the daemon is touched: whoever finds it can undo it.
  context.checkpoints.save(id, checkpoint);
  undo.add("remove its checkpoint", () => context.checkpoints.drop(id));
  if (config.logDirectory !== "") mkdirSync(config.logDirectory, { recursive: true, mode: 0o755 });
  try {
    await context.client.containers.start(id);
  } catch (error) {
    throw new CortenError(
      error instanceof CortenError ? error.code : "unknown",
      `failed to start sandbox container for pod ${JSON.stringify(metadata.name)}: ${messageOf(error)}`,
      { cause: error },
    );
  }
  const sandbox = await getSandbox(context, id);
  // All containers of the pod see this file; the daemon would fill it with the host's.
  if (config.dnsConfig) writeFileSync(sandbox.ResolvConfPath, resolvConf(config));
  if (context.options.networkPlugin === "cni" && sandbox.HostConfig.NetworkMode !== "host") {
    const netns = netnsOf(sandbox);
    if (netns === "") throw new CortenError("unknown", `the sandbox container ${id} has ended at once`);
    undo.add("give its network back", () => removeFromNetwork(context, id, checkpoint, netns));
    await addToNetwork(context, id, checkpoint, config, netns);
  }
  checkpoint.own.state = "ready";
  context.checkpoints.save(id, checkpoint);
  undo.release();
  return id;
}

/** systemd's driver takes a slice by its name, without the path to it. */
export async function cgroupParentOf(
  context: Context,
  { linux }: Pick<PodSandboxConfig, "linux">,
): Promise<string> {
  const parent = linux?.cgroupParent ?? "";
  return parent !== "" && (await cgroupDriverOf(context)) === "systemd" ? basename(parent) : parent;
}

/** The container that will hold the pod. One of the same name that never became a pod makes way. */
async function createHolder(
  context: Context,
  name: string,
  request: CreateContainerRequest,
): Promise<{ id: string; ready: boolean }> {
  for (let attempt = 0; ; attempt++) {
    try {
      return { id: await createNamed(context, name, request), ready: false };
    } catch (error) {
      if (isCode(error, "not_found") && attempt === 0) {
        // The image went between our look and now.
        await ensurePauseImage(context);
        continue;
      }
      if (!(error instanceof NameTaken) || attempt > 1) throw error;
      const before = await findSandbox(context, error.id);
      if (!before) throw error;
      const state = context.checkpoints.get(before.Id)?.own?.state;
      if (before.State.Running && state === "ready") return { id: before.Id, ready: true };
      if (state !== undefined && state !== "making")
        throw alreadyExists(
          `failed to reserve sandbox name ${JSON.stringify(name)}: name is reserved for ${JSON.stringify(before.Id)}`,
          error,
        );
      log.info("a pod that was half made makes way for a new one", { id: before.Id, name });
      await discardSandbox(context, before.Id);
    }
  }
}
