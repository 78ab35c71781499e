import type { TransferRequest } from "../../../proto/gen/containerd/services/transfer/v1/transfer_pb.ts";
import type { OCIRegistry } from "../../../proto/gen/containerd/types/transfer/registry_pb.ts";
import { unimplemented } from "../../base/errors.ts";
import type { Resolver } from "../../registry/index.ts";
import { fromDescriptor } from "../client/descriptor.ts";
import { withLease } from "../client/lease.ts";
import type { ContainerdClient } from "../client/types.ts";
import { ByteSender, receiveBytes } from "../streaming/bytes.ts";
import type { NamedStream } from "../streaming/streams.ts";
import { readEnd } from "./ends.ts";
import { exportImages } from "./export.ts";
import { importImages } from "./import.ts";
import { ProgressReporter } from "./progress.ts";
import { pullImage } from "./pull.ts";
import { pushImage } from "./push.ts";
import { registryResolver } from "./registry.ts";
import { storeImages } from "./store.ts";

/** Does what the pair of source and destination means; `take` gives a stream of the client's that either names. */
export async function transfer(
  client: ContainerdClient,
  request: TransferRequest,
  take: (name: string) => NamedStream,
  signal: AbortSignal,
): Promise<void> {
  const named = request.options?.progressStream ?? "";
  const progress = new ProgressReporter(named === "" ? undefined : take(named));
  const source = readEnd("source", request.source);
  const destination = readEnd("destination", request.destination);
  const job = (leased: ContainerdClient) => ({ client: leased, progress, signal });
  const leased = (work: (held: ReturnType<typeof job>) => Promise<void>) =>
    withLease(client, (lent) => work(job(lent)));
  const resolving = async (registry: OCIRegistry, work: (resolver: Resolver) => Promise<void>) => {
    const { authStream = "", logsStream = "" } = registry.resolver ?? {};
    const resolver = registryResolver(
      registry,
      {
        ...(authStream === "" ? {} : { auth: take(authStream) }),
        ...(logsStream === "" ? {} : { logs: take(logsStream) }),
      },
      signal,
    );
    try {
      await work(resolver);
    } finally {
      resolver.close();
    }
  };
  try {
    if (source.kind === "registry" && destination.kind === "store")
      await resolving(source.registry, (resolver) =>
        leased((held) => pullImage(held, source.registry, destination.store, resolver)),
      );
    else if (source.kind === "store" && destination.kind === "registry")
      await resolving(destination.registry, (resolver) =>
        leased((held) => pushImage(held, source.store, destination.registry, resolver)),
      );
    else if (source.kind === "store" && destination.kind === "export") {
      const out = new ByteSender(take(destination.archive.stream));
      await leased((held) => exportImages(held, source.store, destination.archive, out));
    } else if (source.kind === "store" && destination.kind === "store") {
      const { image } = await client.images.get({ name: source.store.name });
      await storeImages(client, destination.store, fromDescriptor(image?.target));
    } else if (source.kind === "import" && destination.kind === "store") {
      const bytes = receiveBytes(take(source.archive.stream));
      await leased((held) => importImages(held, source.archive, bytes, destination.store));
    } else if (source.kind === "import" && destination.kind === "export") {
      const out = new ByteSender(take(destination.archive.stream));
      for await (const piece of receiveBytes(take(source.archive.stream))) await out.write(piece);
    } else
      throw unimplemented(
        `method Transfer not implemented for ${request.source?.typeUrl} to ${request.destination?.typeUrl}`,
      );
  } finally {
    await progress.flush();
  }
}
