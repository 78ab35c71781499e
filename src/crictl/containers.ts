/** Finding containers by the filters of ps, inspect and exec. */
import { type Container, ContainerState } from "../../proto/gen/runtime/v1/container_pb.ts";
import { wrap } from "./errors.ts";
import { matcher, newest } from "./filters.ts";
import { log } from "./log.ts";
import type { ImageConnection, RuntimeConnection } from "./services.ts";

export interface ContainerQuery {
  id: string;
  pod: string;
  name: string;
  namespace: string;
  image: string;
  state: string;
  labels: Record<string, string>;
  latest: boolean;
  last: number;
  all: boolean;
}

export const anyContainer: ContainerQuery = {
  id: "",
  pod: "",
  name: "",
  namespace: "",
  image: "",
  state: "",
  labels: {},
  latest: false,
  last: 0,
  all: false,
};

const states: Record<string, ContainerState> = {
  created: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_EXITED,
  unknown: ContainerState.CONTAINER_UNKNOWN,
};

export async function listContainers(
  runtime: RuntimeConnection,
  images: ImageConnection | undefined,
  query: ContainerQuery,
): Promise<Container[]> {
  let state: ContainerState | undefined = query.all ? undefined : ContainerState.CONTAINER_RUNNING;
  if (query.state !== "") {
    state = states[query.state.toLowerCase()];
    if (state === undefined) throw new Error("--state should be one of created, running, exited or unknown");
  }
  // The newest are shown whatever they do.
  if (query.latest || query.last > 0) state = undefined;
  let found: Container[];
  try {
    ({ containers: found } = await runtime.call((client, options) =>
      client.listContainers(
        {
          filter: {
            id: query.id,
            podSandboxId: query.pod,
            labelSelector: query.labels,
            ...(state === undefined ? {} : { state: { state } }),
          },
        },
        options,
      ),
    ));
  } catch (error) {
    throw wrap("call list containers RPC", error);
  }
  log("debug", `ListContainerResponse: ${found.length} containers`);
  const [name, namespace] = [matcher(query.name), matcher(query.namespace)];
  const wanted = await imageMatcher(images, query.image);
  const matching: Container[] = [];
  for (const container of found) {
    if (!container.metadata || !name(container.metadata.name)) continue;
    if (!namespace(podNamespace(container.labels))) continue;
    if (await wanted(container.image?.image ?? "")) matching.push(container);
  }
  return newest(matching, query.latest, query.last);
}

/** Images are the same when the server gives them one id. */
async function imageMatcher(
  images: ImageConnection | undefined,
  image: string,
): Promise<(other: string) => boolean | Promise<boolean>> {
  if (image === "" || !images) return () => true;
  const id = async (name: string) => {
    try {
      return (await images.imageStatus(name, false)).image?.id;
    } catch (error) {
      throw wrap("check image match", error);
    }
  };
  const wanted = await id(image);
  return async (other) => wanted !== undefined && (await id(other)) === wanted;
}

export const podName = (labels: Readonly<Record<string, string>>) =>
  labels["io.kubernetes.pod.name"] ?? "unknown";
export const podNamespace = (labels: Readonly<Record<string, string>>) =>
  labels["io.kubernetes.pod.namespace"] ?? "unknown";

const stateNames: Record<number, string> = {
  [ContainerState.CONTAINER_CREATED]: "Created",
  [ContainerState.CONTAINER_RUNNING]: "Running",
  [ContainerState.CONTAINER_EXITED]: "Exited",
  [ContainerState.CONTAINER_UNKNOWN]: "Unknown",
};

export function stateName(state: ContainerState): string {
  const name = stateNames[state];
  if (name === undefined) throw new Error(`unknown container state "${state}"`);
  return name;
}
