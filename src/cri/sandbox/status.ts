import { create, toJson } from "@bufbuild/protobuf";
import { PodSandboxConfigSchema } from "../../../proto/gen/runtime/v1/sandbox_config_pb.ts";
import {
  type PodSandbox,
  type PodSandboxFilter,
  PodSandboxSchema,
  PodSandboxState,
  type PodSandboxStatus,
  PodSandboxStatusSchema,
} from "../../../proto/gen/runtime/v1/sandbox_pb.ts";
import { cniInfo } from "../cni/info.ts";
import { runtimeNamed } from "../config.ts";
import type { Context } from "../context.ts";
import type { Records, Sandbox } from "../records.ts";

const stateOf = ({ record }: Sandbox): PodSandboxState =>
  record.state === "ready" ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;

/** Addresses are told while the pod has them. */
export function sandboxStatus(sandbox: Sandbox): PodSandboxStatus {
  const { record, config } = sandbox;
  const [ip, ...more] = record.state === "ready" || record.network ? record.ips : [];
  const options = config.linux?.securityContext?.namespaceOptions;
  return create(PodSandboxStatusSchema, {
    id: record.id,
    ...(config.metadata ? { metadata: config.metadata } : {}),
    state: stateOf(sandbox),
    createdAt: BigInt(record.createdAt),
    network: { ip: ip ?? "", additionalIps: more.map((address) => ({ ip: address })) },
    linux: { namespaces: { ...(options ? { options } : {}) } },
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: record.runtimeHandler,
  });
}

export function sandboxItem(sandbox: Sandbox): PodSandbox {
  const { record, config } = sandbox;
  return create(PodSandboxSchema, {
    id: record.id,
    ...(config.metadata ? { metadata: config.metadata } : {}),
    state: stateOf(sandbox),
    createdAt: BigInt(record.createdAt),
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: record.runtimeHandler,
  });
}

/** Pods that are made completely, and match. */
export function listSandboxes(records: Records, filter: PodSandboxFilter | undefined): Sandbox[] {
  return records.sandboxes
    .all()
    .filter(({ record }) => record.state !== "making")
    .filter((sandbox) => {
      if (!filter) return true;
      if (filter.id !== "" && !sandbox.record.id.startsWith(filter.id)) return false;
      if (filter.state && filter.state.state !== stateOf(sandbox)) return false;
      return matchesLabels(sandbox.config.labels, filter.labelSelector);
    });
}

export const matchesLabels = (labels: Record<string, string>, selector: Record<string, string>): boolean =>
  Object.entries(selector).every(([name, value]) => labels[name] === value);

/** What `crictl inspectp` shows besides the status: a JSON document under "info". */
export async function sandboxInfo(context: Context, sandbox: Sandbox): Promise<Record<string, string>> {
  const { record, config } = sandbox;
  const pid =
    record.holder && record.state === "ready" ? await context.engine.holderPid(record.id).catch(() => 0) : 0;
  return {
    info: JSON.stringify({
      pid,
      processStatus: record.state === "ready" ? "running" : "stopped",
      netNamespaceClosed: record.state !== "ready",
      namespaces: record.namespaces,
      runtimeHandler: record.runtimeHandler,
      runtimeType: runtimeNamed(context.config, record.runtimeHandler)?.type ?? "",
      cniResult: cniInfo(record.network?.result),
      config: toJson(PodSandboxConfigSchema, config),
    }),
  };
}
