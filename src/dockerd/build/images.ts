import type { BuildServices, ImageResolver, RegistryAuth, ResolvedImage } from "../../build/types.ts";
import { debImageName, type ImageContent } from "../../containerd/client/index.ts";
import type { Platform } from "../../oci/image-spec.ts";
import { familiarName, formatReference, parseReference, withDefaultTag } from "../../oci/reference.ts";
import type { Daemon } from "../daemon.ts";
import type { HostCredentials } from "../host.ts";
import { debReference } from "../images/create.ts";
import { type Credentials, fetchDebImage, fetchImage } from "../images/fetch.ts";

/** Base images as `docker run` finds them: what is here, else pulled, or composed from Debian packages. */
export function imageResolver(daemon: Daemon): ImageResolver {
  return {
    async resolve(reference, options): Promise<ResolvedImage> {
      const { platform, pull, signal } = options;
      const deb = debReference(reference, "");
      const name = deb === undefined ? reference : debImageName(deb);
      // An image without this platform is as good as none: the registry may have more of it.
      const local = pull ? undefined : await daemon.images.find(name, platform).catch(() => undefined);
      if (local && fits(local.content.config, platform)) return resolved(reference, local.content);
      if (deb !== undefined) {
        const made = await fetchDebImage(daemon, deb, name, { platform, signal });
        daemon.events.publish("image", "pull", deb, { name: deb });
        return resolved(reference, made.content);
      }
      const parsed = withDefaultTag(parseReference(reference));
      const pulled = await fetchImage(daemon, parsed, {
        ...(await credentialsFor(parsed.domain, options.auth)),
        platform,
        signal,
        onProgress: ({ id, status, current = 0, total = 0 }) =>
          options.onProgress?.({
            id,
            name: status,
            current,
            total,
            done: status === "Pull complete" || status === "Already exists",
          }),
      });
      daemon.events.publish("image", "pull", formatReference(parsed), { name: familiarName(parsed) });
      return resolved(reference, pulled.content);
    },
  };
}

/** An image that says nothing of its platform is taken for any. */
function fits(config: { os?: string; architecture?: string }, platform: Platform): boolean {
  return (
    (!config.os || config.os === platform.os) &&
    (!config.architecture || config.architecture === platform.architecture)
  );
}

const resolved = (reference: string, content: ImageContent): ResolvedImage => ({
  reference,
  target: content.target,
  manifest: content.manifestDescriptor,
  config: content.config,
});

async function credentialsFor(
  domain: string,
  auth: Parameters<ImageResolver["resolve"]>[1]["auth"],
): Promise<Credentials> {
  const found = await auth?.(domain);
  return found ? { credentials: () => hostCredentials(found) } : {};
}

/** A build's credentials in the names of Docker's configuration files. */
function hostCredentials({
  username,
  password,
  identityToken,
  registryToken,
}: NonNullable<Awaited<ReturnType<RegistryAuth>>>): HostCredentials {
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(identityToken === undefined ? {} : { identitytoken: identityToken }),
    ...(registryToken === undefined ? {} : { registrytoken: registryToken }),
  };
}

/** Where builds push to, and where their caches are. */
export const buildRegistry =
  (daemon: Daemon): NonNullable<BuildServices["registry"]> =>
  (auth, signal) =>
    daemon.host.resolver({
      credentials: async (registry) => {
        const found = await auth(registry);
        return found && hostCredentials(found);
      },
      signal,
    });
