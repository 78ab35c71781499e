/**
 * The two services of a CRI server as crictl's client library uses them: each call with its own time limit, and answers
 * that lack what they must have refused.
 */
import type { Client } from "@connectrpc/connect";
import { ImageService, RuntimeService } from "../../proto/gen/runtime/v1/api_pb.ts";
import type { ContainerStatusResponse } from "../../proto/gen/runtime/v1/container_pb.ts";
import type { ImageStatusResponse } from "../../proto/gen/runtime/v1/image_pb.ts";
import type { PodSandboxStatusResponse } from "../../proto/gen/runtime/v1/sandbox_pb.ts";
import { goQuote } from "../cli/format/quote.ts";
import { RpcError, wrap } from "./errors.ts";
import { log } from "./log.ts";
import type { Connection } from "./rpc.ts";
import { defaultEndpoints, type Settings } from "./settings.ts";

type Runtime = Client<typeof RuntimeService>;
type Images = Client<typeof ImageService>;
type Options = { signal?: AbortSignal; timeoutMs?: number };

abstract class Service<S extends typeof RuntimeService | typeof ImageService> {
  readonly connection: Connection<S>;
  /** Milliseconds. */
  readonly timeout: number;
  constructor(connection: Connection<S>, timeout: number) {
    this.connection = connection;
    this.timeout = timeout;
  }
}

export class RuntimeConnection extends Service<typeof RuntimeService> {
  /** A call within the configured time, or `milliseconds`. */
  call<T>(work: (client: Runtime, options: Options) => Promise<T>, milliseconds = this.timeout): Promise<T> {
    return this.connection.call(milliseconds, work);
  }

  /** A call that may take as long as it wants. */
  unlimited<T>(work: (client: Runtime, options: Options) => Promise<T>): Promise<T> {
    return this.connection.call(undefined, work);
  }

  async containerStatus(containerId: string, verbose: boolean): Promise<ContainerStatusResponse> {
    const response = await this.call((client, options) =>
      client.containerStatus({ containerId, verbose }, options),
    );
    const { status } = response;
    if (!status) return response;
    require_(status.id !== "", "status.Id is not set");
    require_(status.metadata !== undefined, "status.Metadata is not set");
    require_(status.metadata!.name !== "", "metadata.Name is not in metadata");
    require_(status.createdAt !== 0n, "status.CreatedAt is not set");
    require_(Boolean(status.image?.image), "status.Image is not set");
    require_(status.imageRef !== "", "status.ImageRef is not set");
    return response;
  }

  async podSandboxStatus(podSandboxId: string, verbose: boolean): Promise<PodSandboxStatusResponse> {
    const response = await this.call((client, options) =>
      client.podSandboxStatus({ podSandboxId, verbose }, options),
    );
    const { status } = response;
    if (!status) return response;
    require_(status.id !== "", "status.Id is not set");
    const { metadata } = status;
    require_(metadata !== undefined, "status.Metadata is not set");
    require_(
      metadata!.name !== "" && metadata!.namespace !== "" && metadata!.uid !== "",
      "metadata.Name, metadata.Namespace or metadata.Uid is not in metadata",
    );
    require_(status.createdAt !== 0n, "status.CreatedAt is not set");
    return response;
  }
}

export class ImageConnection extends Service<typeof ImageService> {
  call<T>(work: (client: Images, options: Options) => Promise<T>, milliseconds = this.timeout): Promise<T> {
    return this.connection.call(milliseconds, work);
  }

  async imageStatus(image: string, verbose: boolean): Promise<ImageStatusResponse> {
    const response = await this.call((client, options) =>
      client.imageStatus({ image: { image }, verbose }, options),
    );
    if (response.image && (response.image.id === "" || response.image.size === 0n))
      throw new Error(`Id or size of image ${goQuote(image)} is not set`);
    return response;
  }

  /** As long as it takes, unless `milliseconds` is given. */
  async pull(request: Parameters<Images["pullImage"]>[0], milliseconds: number | undefined): Promise<string> {
    let imageRef: string;
    try {
      ({ imageRef } = await this.connection.call(milliseconds, (client, options) =>
        client.pullImage(request, options),
      ));
    } catch (error) {
      if (error instanceof RpcError && error.code === "Unknown")
        throw new Error(error.detail, { cause: error });
      throw error;
    }
    if (imageRef === "")
      throw new Error(`imageRef of image ${goQuote(request.image?.image ?? "")} is not set`);
    return imageRef;
  }
}

function require_(holds: boolean, text: string): void {
  if (!holds) throw new Error(text);
}

/** The path of `unix:///path`, or of a path alone. */
export function socketOf(endpoint: string): string {
  const match = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/i.exec(endpoint);
  if (!match) return endpoint;
  if (match[1] === "unix") return match[2]!;
  if (match[1] === "tcp") throw new Error("only support unix socket endpoint");
  throw new Error(`protocol ${goQuote(match[1]!)} not supported`);
}

/** Connects and makes sure that it is a CRI v1 server; `opened` gets every connection, to be closed at the end. */
export async function openRuntime(
  settings: Settings,
  timeout: number,
  signal: AbortSignal,
  opened: (connection: { close(): void }) => void,
): Promise<RuntimeConnection> {
  if (settings.runtimeEndpointIsSet && settings.runtimeEndpoint === "")
    throw new Error("--runtime-endpoint is not set");
  log("debug", "Get runtime connection");
  const milliseconds = (timeout || settings.timeout) / 1e6;
  const { Connection } = await import("./rpc.ts");
  return withEndpoints(
    "runtime",
    settings.runtimeEndpoint,
    settings.runtimeEndpointIsSet,
    settings,
    async (endpoint) => {
      const connection = new Connection(RuntimeService, socketOf(endpoint), signal);
      opened(connection);
      try {
        await connection.call(milliseconds, (client, options) => client.version({}, options));
      } catch (error) {
        throw wrap(
          `validate service connection: validate CRI v1 runtime API for endpoint ${goQuote(endpoint)}`,
          error,
        );
      }
      return new RuntimeConnection(connection, milliseconds);
    },
  );
}

export async function openImages(
  settings: Settings,
  signal: AbortSignal,
  opened: (connection: { close(): void }) => void,
): Promise<ImageConnection> {
  let { imageEndpoint, imageEndpointIsSet } = settings;
  if (imageEndpoint === "") {
    if (settings.runtimeEndpointIsSet && settings.runtimeEndpoint === "")
      throw new Error("--image-endpoint is not set");
    imageEndpoint = settings.runtimeEndpoint;
    imageEndpointIsSet = settings.runtimeEndpointIsSet;
  }
  log("debug", "Get image connection");
  const milliseconds = settings.timeout / 1e6;
  const { Connection } = await import("./rpc.ts");
  return withEndpoints("Image", imageEndpoint, imageEndpointIsSet, settings, async (endpoint) => {
    const connection = new Connection(ImageService, socketOf(endpoint), signal);
    opened(connection);
    try {
      await connection.call(milliseconds, (client, options) => client.imageFsInfo({}, options));
    } catch (error) {
      throw wrap(
        `validate service connection: validate CRI v1 image API for endpoint ${goQuote(endpoint)}`,
        error,
      );
    }
    return new ImageConnection(connection, milliseconds);
  });
}

const firstDelay = 500;
const longestDelay = 5000;

/** A named endpoint is tried again for a while; without one, the known places are tried in turn. */
async function withEndpoints<T>(
  what: string,
  endpoint: string,
  isSet: boolean,
  settings: Settings,
  connect: (endpoint: string) => Promise<T>,
): Promise<T> {
  let failure: unknown;
  if (!isSet) {
    log(
      "warning",
      `${what} connect using default endpoints: [${defaultEndpoints.join(" ")}]. As the default settings are now deprecated, you should set the endpoint instead.`,
    );
    for (const one of defaultEndpoints) {
      try {
        return await connect(one);
      } catch (error) {
        log("error", (error as Error).message);
        failure = error;
      }
    }
    throw failure;
  }
  let delay = firstDelay;
  for (let attempt = 0; ; attempt++) {
    try {
      return await connect(endpoint);
    } catch (error) {
      const done = settings.maxRetries >= 0 && attempt >= settings.maxRetries;
      if (done || !(error instanceof Error && error.cause instanceof RpcError)) throw error;
      log(
        "debug",
        `Connection attempt ${attempt + 1} failed: ${error.message}, retrying in ${delay / 1000}s`,
      );
      await Bun.sleep(delay);
      delay = Math.min(delay * 2, longestDelay);
    }
  }
}
