/** The distribution client: resolve, fetch and push content of OCI registries (distribution-spec v1.1). */
export { hostsFromDirectory } from "./hosts-directory.ts";
export { hostsFromMirrors } from "./mirrors.ts";
export { createResolver } from "./resolver.ts";
export type {
  Credentials,
  Fetcher,
  Host,
  Pusher,
  PushStatus,
  PushWriter,
  RegistryEvent,
  Resolver,
  ResolverOptions,
  TlsOptions,
} from "./types.ts";
