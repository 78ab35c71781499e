/** The CRI services around a backend: what is the same for every way of running pods. */
import type { DescMessage, DescService, Message, MessageInitShape } from "@bufbuild/protobuf";
import { ImageService, RuntimeService } from "../../../proto/gen/runtime/v1/api_pb.ts";
import type {
  AttachRequest,
  CreateContainerRequest,
  ExecRequest,
} from "../../../proto/gen/runtime/v1/container_pb.ts";
import type { PullImageRequest } from "../../../proto/gen/runtime/v1/image_pb.ts";
import type { PortForwardRequest, RunPodSandboxRequest } from "../../../proto/gen/runtime/v1/sandbox_pb.ts";
import { CortenError, invalid } from "../../base/errors.ts";
import type { Streaming } from "../streaming/types.ts";
import type { Backend } from "./backend.ts";
import { Joins } from "./join.ts";

type Call = (request: Message, signal: AbortSignal) => Promise<object>;
type Stream = (request: Message, signal: AbortSignal) => AsyncIterable<object>;
/** What a router of connect takes, by local method name. */
export type Implementation = Record<string, (request: Message, context: { signal: AbortSignal }) => unknown>;

/** What a repeated request is recognised by; calls without an entry each run by themselves. */
const joinKeys: Record<string, (request: never) => string> = {
  runPodSandbox: ({ config }: RunPodSandboxRequest) => JSON.stringify(metadataOf(config)),
  stopPodSandbox: idOf("podSandboxId"),
  removePodSandbox: idOf("podSandboxId"),
  createContainer: ({ podSandboxId, config }: CreateContainerRequest) =>
    JSON.stringify([podSandboxId, metadataOf(config)]),
  startContainer: idOf("containerId"),
  removeContainer: idOf("containerId"),
  pullImage: ({ image, auth }: PullImageRequest) =>
    JSON.stringify([
      image?.image,
      auth && [auth.username, auth.password, auth.auth, auth.identityToken, auth.registryToken],
    ]),
  removeImage: ({ image }: PullImageRequest) => image?.image ?? "",
  imageFsInfo: () => "",
};

function idOf(field: string): (request: never) => string {
  return (request: Record<string, unknown>) => String(request[field]);
}

const metadataOf = (config: { metadata?: object | undefined } | undefined) =>
  Object.fromEntries(Object.entries(config?.metadata ?? {}).filter(([name]) => !name.startsWith("$")));

const required = (condition: unknown, what: string) => {
  if (!condition) throw invalid(`${what} is required`);
};

/** What no backend can do anything with. */
const checks: Record<string, (request: never) => void> = {
  runPodSandbox: ({ config }: RunPodSandboxRequest) => {
    required(config, "sandbox config");
    required(config?.metadata?.name, "sandbox config metadata with a name");
  },
  createContainer: ({ podSandboxId, config, sandboxConfig }: CreateContainerRequest) => {
    required(podSandboxId, "pod sandbox id");
    required(config?.metadata?.name, "container config metadata with a name");
    required(config?.image?.image, "container image");
    required(sandboxConfig, "sandbox config");
  },
  pullImage: ({ image }: PullImageRequest) => required(image?.image, "image"),
  removeImage: ({ image }: PullImageRequest) => required(image?.image, "image"),
  imageStatus: ({ image }: PullImageRequest) => required(image?.image, "image"),
};

/** Each list's stream gives its items in messages of so many. */
const pieceLength = 200;

/** Streaming lists by the plain call they stand for, and the field of the items in both answers. */
const lists: Record<string, { call: string; from: string; to: string }> = {
  streamPodSandboxes: { call: "listPodSandbox", from: "items", to: "podSandboxes" },
  streamContainers: { call: "listContainers", from: "containers", to: "containers" },
  streamContainerStats: { call: "listContainerStats", from: "stats", to: "containerStats" },
  streamPodSandboxStats: { call: "listPodSandboxStats", from: "stats", to: "podSandboxStats" },
  streamPodSandboxMetrics: { call: "listPodSandboxMetrics", from: "podMetrics", to: "podSandboxMetrics" },
  streamImages: { call: "listImages", from: "images", to: "images" },
};

/** Implementations of RuntimeService and ImageService. `streaming` starts its server when the first URL is asked for. */
export function criServices(
  backend: Backend,
  streaming: () => Promise<Streaming>,
): Array<{ service: DescService; implementation: Implementation }> {
  const joins = new Joins();
  const urls = urlCalls(backend, streaming);
  const calls = backend as unknown as Record<string, Call | undefined>;
  const unary =
    (name: string, call: Call) =>
    async (request: Message, { signal }: { signal: AbortSignal }) => {
      checks[name]?.(request as never);
      const key = joinKeys[name]?.(request as never);
      if (key === undefined) return call.call(backend, request, signal);
      return joins.run(`${name} ${key}`, signal, (all) => call.call(backend, request, all));
    };
  const streamed = (name: string): Stream | undefined => {
    if (name === "getContainerEvents") return (_, signal) => backend.events(signal);
    const list = lists[name];
    const call = list && calls[list.call];
    if (!list || !call) return undefined;
    return async function* (request, signal) {
      const answer = (await call.call(backend, request, signal)) as Record<string, unknown[]>;
      const items = answer[list.from] ?? [];
      for (let at = 0; at < items.length; at += pieceLength)
        yield { [list.to]: items.slice(at, at + pieceLength) };
    };
  };
  return [RuntimeService, ImageService].map((service) => ({
    service,
    implementation: Object.fromEntries(
      service.methods.map((method) => {
        const name = method.localName;
        if (method.methodKind === "server_streaming") {
          const stream = streamed(name);
          return [
            name,
            (request: Message, { signal }: { signal: AbortSignal }) =>
              stream ? stream(request, signal) : failing(method.name),
          ];
        }
        const call = urls[name] ?? calls[name];
        return [
          name,
          call
            ? unary(name, call)
            : () => {
                throw missing(method.name);
              },
        ];
      }),
    ),
  }));
}

const missing = (name: string) => new CortenError("unimplemented", `method ${name} is not implemented`);

async function* failing(name: string): AsyncGenerator<object> {
  yield* [];
  throw missing(name);
}

/** Exec, Attach and PortForward: checked against the backend, then a session is kept for the client to open. */
function urlCalls(backend: Backend, streaming: () => Promise<Streaming>): Record<string, Call> {
  const answer = (url: string): MessageInitShape<DescMessage> & { url: string } => ({ url });
  return {
    exec: async (message) => {
      const { cmd, ...request } = message as ExecRequest;
      if (cmd.length === 0) throw invalid("command is required");
      checkStreams(request);
      const { id } = await backend.checkContainer(request.containerId);
      return answer((await streaming()).exec({ ...request, containerId: id, command: cmd }));
    },
    attach: async (message) => {
      const request = message as AttachRequest;
      checkStreams(request);
      const { id, tty } = await backend.checkContainer(request.containerId);
      return answer((await streaming()).attach({ ...request, containerId: id, tty }));
    },
    portForward: async (message) => {
      const { podSandboxId, port } = message as PortForwardRequest;
      const { id } = await backend.checkSandbox(podSandboxId);
      return answer((await streaming()).portForward({ podSandboxId: id, ports: port }));
    },
  };
}

function checkStreams({
  tty,
  stdin,
  stdout,
  stderr,
}: {
  tty: boolean;
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}): void {
  if (!stdin && !stdout && !stderr) throw invalid("one of stdin, stdout, or stderr must be set");
  if (tty && stderr) throw invalid("tty and stderr cannot both be true");
}
