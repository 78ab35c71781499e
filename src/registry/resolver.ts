import packageJson from "../../package.json" with { type: "json" };
import { CortenError, invalid, isCode, messageOf } from "../base/errors.ts";
import { formatReference, parseReference, type Reference, withDefaultTag } from "../oci/reference.ts";
import { Authorizer } from "./authorizer.ts";
import { Endpoint } from "./endpoint.ts";
import { pullError } from "./errors.ts";
import { fetchContent } from "./fetch.ts";
import { hostsOf, tlsFor } from "./hosts.ts";
import { discard } from "./http.ts";
import { openWriter, pushContent } from "./push.ts";
import type { Repository } from "./repository.ts";
import { resolve } from "./resolve.ts";
import type { Fetcher, Host, Pusher, Resolver, ResolverOptions } from "./types.ts";

const defaultAttempts = 5;
const defaultRetryDelay = 250;

/** A resolver for references of any registry; connections and tokens are shared between its calls. */
export function createResolver(options: ResolverOptions = {}): Resolver {
  /** By registry: its hosts, made once. */
  const registries = new Map<string, Promise<Endpoint[]>>();
  const onEvent = options.onEvent ?? (() => {});
  const attempts = Math.max(1, options.attempts ?? defaultAttempts);

  const endpoint = (registry: string, host: Host): Endpoint => {
    const name = host.capabilities && !host.capabilities.includes("push") ? host.host : registry;
    const userAgent = options.userAgent ?? `corten/${packageJson.version}`;
    const shared = { tlsFor: (other: string) => tlsFor(other, options), userAgent };
    const signal = options.signal && { signal: options.signal };
    const authorizer = new Authorizer({
      ...shared,
      ...signal,
      ...(options.offline && { offline: true }),
      credentials: async () => options.credentials?.(name),
    });
    const retryDelay = options.retryDelay ?? defaultRetryDelay;
    return new Endpoint({ ...shared, ...signal, host, authorizer, attempts, retryDelay, onEvent });
  };

  const endpointsOf = (registry: string): Promise<Endpoint[]> => {
    const made =
      registries.get(registry) ??
      hostsOf(registry, options).then((hosts) => hosts.map((host) => endpoint(registry, host)));
    registries.set(registry, made);
    made.catch(() => registries.delete(registry));
    return made;
  };

  const repositoryOf = (reference: Reference): Repository => ({
    reference,
    endpoints: () => endpointsOf(reference.domain),
    worked: (good) => {
      const known = registries.get(reference.domain);
      if (!known) return;
      const reduced = known.then((all) =>
        all.filter((other) => other === good || other.host.host !== good.host.host),
      );
      registries.set(reference.domain, reduced);
    },
    attempts,
    onEvent,
  });

  const parse = (ref: string): Reference => {
    try {
      return withDefaultTag(parseReference(ref));
    } catch (error) {
      throw invalid(error instanceof Error ? error.message : String(error), error);
    }
  };

  return {
    async resolve(ref) {
      const reference = parse(ref);
      const name = formatReference(reference);
      onEvent({ kind: "resolving", ref: name });
      try {
        const descriptor = await resolve(repositoryOf(reference));
        onEvent({ kind: "resolved", ref: name, descriptor });
        return { name, descriptor };
      } catch (error) {
        throw pullError(reference, error);
      }
    },
    fetcher(ref): Fetcher {
      const repository = repositoryOf(parse(ref));
      return {
        async fetch(descriptor, offset = 0) {
          try {
            return await fetchContent(repository, descriptor, offset);
          } catch (error) {
            throw pullError(repository.reference, error);
          }
        },
      };
    },
    async login(registry) {
      let failure: unknown;
      for (const endpoint of await endpointsOf(registry)) {
        if (!endpoint.can("push")) continue;
        try {
          return await login(endpoint);
        } catch (error) {
          // Wrong credentials are wrong without TLS as well, where they must not go.
          if (isCode(error, "unauthenticated") || isCode(error, "canceled")) throw error;
          failure = error;
        }
      }
      throw failure ?? invalid(`no place to log in to ${registry}`);
    },
    pusher(ref): Pusher {
      // Without a tag, content named by digest is pushed by digest.
      const repository = repositoryOf(parse(ref));
      return {
        push: async (descriptor, open, { mountFrom = [] } = {}) =>
          pushContent(repository, descriptor, open, mountFrom),
        writer: async (descriptor) => openWriter(repository, descriptor),
      };
    },
    close() {
      registries.clear();
    },
  };
}

async function login(endpoint: Endpoint): Promise<{ identitytoken?: string }> {
  const { request, response } = await endpoint
    .call({ method: "GET", target: "", scopes: [], accept: [200, 401] })
    .catch((error) => {
      const text = messageOf(error);
      if (!isCode(error, "unauthenticated") || text.startsWith("Get ")) throw error;
      // The token server's word; Docker names the question it was for.
      throw new CortenError("unauthenticated", `Get "${endpoint.url("").href}": ${text}`, { cause: error });
    });
  await discard(response);
  if (response.status !== 200)
    throw new CortenError(
      "internal",
      `login attempt to ${request.url.href} failed with status: ${response.status} Unauthorized`,
    );
  return endpoint.identity();
}
