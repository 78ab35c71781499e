import { create } from "@bufbuild/protobuf";
import type { LinuxContainerResources } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { LinuxPodSandboxConfigSchema } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import type { Records, Sandbox } from "../records.ts";

/** Keeps what a pod as a whole is meant to have: `crictl inspectp` shows it, and it outlives the server. */
export function updateSandbox(
  records: Records,
  sandbox: Sandbox,
  change: { overhead?: LinuxContainerResources | undefined; resources?: LinuxContainerResources | undefined },
): void {
  const { config } = sandbox;
  config.linux ??= create(LinuxPodSandboxConfigSchema);
  if (change.overhead) config.linux.overhead = change.overhead;
  if (change.resources) config.linux.resources = change.resources;
  records.saveSandbox(sandbox);
}
