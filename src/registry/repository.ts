/** One repository of a registry: its hosts in order, and which of them answered last time. */
import { asCortenError } from "../base/errors.ts";
import type { Reference } from "../oci/reference.ts";
import type { Endpoint } from "./endpoint.ts";
import { RegistryError } from "./errors.ts";
import type { RegistryEvent } from "./types.ts";

export interface Repository {
  reference: Reference;
  endpoints: () => Promise<Endpoint[]>;
  /** Remembers the host that worked, so that the others of the same address are not asked again. */
  worked: (endpoint: Endpoint) => void;
  attempts: number;
  onEvent: (event: RegistryEvent) => void;
}

export const pullScope = (path: string): string => `repository:${path}:pull`;
export const pushScope = (path: string): string => `repository:${path}:pull,push`;

/**
 * Runs `work` on each host that can do it until one succeeds. A mirror's failure moves on to the next host;
 * a registry's own answer is final, and its plain-HTTP twin is only asked when TLS did not come about.
 */
export async function onEndpoints<T>(
  repository: Repository,
  capability: "pull" | "resolve" | "push",
  work: (endpoint: Endpoint) => Promise<T>,
): Promise<T> {
  const endpoints = (await repository.endpoints()).filter((endpoint) => endpoint.can(capability));
  let last: unknown;
  for (const [index, endpoint] of endpoints.entries()) {
    try {
      const result = await work(endpoint);
      repository.worked(endpoint);
      return result;
    } catch (error) {
      last = error;
      const { code } = asCortenError(error);
      if (code === "canceled") throw error;
      const next = endpoints[index + 1];
      if (
        next?.host.host === endpoint.host.host &&
        (error instanceof RegistryError || code !== "unavailable")
      )
        throw error;
    }
  }
  throw last ?? new Error(`no host of ${repository.reference.domain} can ${capability}`);
}
