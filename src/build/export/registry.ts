import { unimplemented } from "../../base/errors.ts";
import type { Resolver } from "../../containerd/client/index.ts";
import type { BuildRequest } from "../types.ts";
import type { ExportContext } from "./types.ts";

/** Runs `work` with connections to registries under the client's credentials. */
export async function toRegistry<T>(
  context: Pick<ExportContext, "services">,
  request: Pick<BuildRequest, "auth" | "signal">,
  work: (resolver: Resolver) => Promise<T>,
): Promise<T> {
  const { registry } = context.services;
  if (!registry) throw unimplemented("this builder has no access to registries");
  const resolver = registry(request.auth, request.signal);
  try {
    return await work(resolver);
  } finally {
    resolver.close();
  }
}
