/** Finding pods by the filters of pods and inspectp, and what ends them. */
import { type PodSandbox, PodSandboxState } from "../../proto/gen/runtime/v1/sandbox_pb.ts";
import { emptyId, wrap } from "./errors.ts";
import { matcher, newest } from "./filters.ts";
import { log } from "./log.ts";
import type { RuntimeConnection } from "./services.ts";

export interface PodQuery {
  id: string;
  name: string;
  namespace: string;
  state: string;
  labels: Record<string, string>;
  latest: boolean;
  last: number;
}

const states: Record<string, PodSandboxState> = {
  ready: PodSandboxState.SANDBOX_READY,
  notready: PodSandboxState.SANDBOX_NOTREADY,
};

export async function listPods(runtime: RuntimeConnection, query: PodQuery): Promise<PodSandbox[]> {
  const state = query.state === "" ? undefined : states[query.state.toLowerCase()];
  if (query.state !== "" && state === undefined) throw new Error("--state should be ready or notready");
  let items: PodSandbox[];
  try {
    ({ items } = await runtime.call((client, options) =>
      client.listPodSandbox(
        {
          filter: {
            id: query.id,
            labelSelector: query.labels,
            ...(state === undefined ? {} : { state: { state } }),
          },
        },
        options,
      ),
    ));
  } catch (error) {
    throw wrap("call list sandboxes RPC", error);
  }
  log("debug", `ListPodSandboxResponse: ${items.length} pods`);
  const [name, namespace] = [matcher(query.name), matcher(query.namespace)];
  const matching = items.filter(
    ({ metadata }) => metadata && name(metadata.name) && namespace(metadata.namespace),
  );
  return newest(matching, query.latest, query.last);
}

export async function stopPod(runtime: RuntimeConnection, podSandboxId: string): Promise<string> {
  if (podSandboxId === "") throw emptyId();
  await runtime.call((client, options) => client.stopPodSandbox({ podSandboxId }, options));
  return `Stopped sandbox ${podSandboxId}\n`;
}

export async function removePod(runtime: RuntimeConnection, podSandboxId: string): Promise<string> {
  if (podSandboxId === "") throw emptyId();
  await runtime.call((client, options) => client.removePodSandbox({ podSandboxId }, options));
  return `Removed sandbox ${podSandboxId}\n`;
}

/** Starting a pod may take twice as long as other calls. */
export async function runPod(
  runtime: RuntimeConnection,
  request: Parameters<RuntimeConnection["connection"]["client"]["runPodSandbox"]>[0],
): Promise<string> {
  const { podSandboxId } = await runtime.call(
    (client, options) => client.runPodSandbox(request, options),
    2 * runtime.timeout,
  );
  if (podSandboxId === "") throw new Error("PodSandboxId is not set for sandbox");
  return podSandboxId;
}

export function podState(state: PodSandboxState): string {
  if (state === PodSandboxState.SANDBOX_READY) return "Ready";
  if (state === PodSandboxState.SANDBOX_NOTREADY) return "NotReady";
  throw new Error(`unknown pod state "${state}"`);
}

export const runtimeHandler = (pod: PodSandbox) => pod.runtimeHandler || "(default)";
