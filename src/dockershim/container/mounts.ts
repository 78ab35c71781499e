import { mkdirSync, statSync } from "node:fs";
import type { Mount as CriMount } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { MountPropagation } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { CortenError, invalid, messageOf, unimplemented } from "../../base/errors.ts";
import type { Mount } from "../../engine/types.ts";
import type { Context } from "../context.ts";
import { knowsRecursiveReadOnly } from "../status.ts";

/** A pod's volumes as the daemon's mounts. */
export function mountsOf(context: Context, mounts: readonly CriMount[]): Mount[] {
  return mounts.map((mount) => (mount.image?.image ? imageMount(context, mount) : bindMount(context, mount)));
}

function imageMount({ client }: Context, mount: CriMount): Mount {
  if (!client.images.supportsImageMounts)
    throw unimplemented("images as volumes need a Docker daemon with API 1.48 or later");
  return {
    Type: "image",
    Source: mount.image!.image,
    Target: mount.containerPath,
    ReadOnly: true,
    ...(mount.imageSubPath === "" ? {} : { ImageOptions: { Subpath: mount.imageSubPath } }),
  };
}

function bindMount(context: Context, mount: CriMount): Mount {
  const { hostPath, containerPath, readonly, recursiveReadOnly, propagation, mountOptions } = mount;
  if (mount.uidMappings.length > 0 || mount.gidMappings.length > 0)
    throw unimplemented("id-mapped mounts are not there with the Engine API");
  if (mountOptions.length > 0)
    throw unimplemented(`the Engine API has no mount options such as ${JSON.stringify(mountOptions[0])}`);
  const recursive = knowsRecursiveReadOnly(context);
  if (recursiveReadOnly) {
    if (!recursive) throw unimplemented(`the daemon cannot mount ${hostPath} read-only recursively`);
    if (!readonly) throw invalid("recursive_read_only conflicts with readonly=false");
    if (propagation !== MountPropagation.PROPAGATION_PRIVATE)
      throw invalid("recursive_read_only is supported only for private propagation");
  }
  makePath(hostPath);
  return {
    Type: "bind",
    Source: hostPath,
    Target: containerPath,
    ReadOnly: readonly,
    BindOptions: {
      // The daemon's own default is private, or a slave where the path holds its own files.
      ...(propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL ? { Propagation: "rshared" } : {}),
      ...(propagation === MountPropagation.PROPAGATION_HOST_TO_CONTAINER ? { Propagation: "rslave" } : {}),
      // From API 1.44 on read-only is recursive unless said otherwise.
      ...(readonly && recursive
        ? recursiveReadOnly
          ? { ReadOnlyForceRecursive: true }
          : { ReadOnlyNonRecursive: true }
        : {}),
    },
  };
}

/** What is not there is made as a directory, as Kubernetes expects; the API refuses it. */
function makePath(path: string): void {
  try {
    statSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") return;
    try {
      mkdirSync(path, { recursive: true, mode: 0o755 });
    } catch (reason) {
      throw new CortenError("unknown", `failed to mkdir ${JSON.stringify(path)}: ${messageOf(reason)}`, {
        cause: reason,
      });
    }
  }
}
