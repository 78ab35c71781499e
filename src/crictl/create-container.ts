import type { Call } from "./command.ts";
import { log } from "./log.ts";
import { loadContainerConfig, loadPodConfig } from "./objects.ts";
import { authOf, pullTimeout } from "./pull-options.ts";
import type { ImageConnection, RuntimeConnection } from "./services.ts";

/** Creates a container from its files, with the images pulled first when there is a connection for that; its id. */
export async function createContainer(
  call: Call,
  runtime: RuntimeConnection,
  images: ImageConnection | undefined,
  podSandboxId: string,
  containerFile: string,
  podFile: string,
): Promise<string> {
  const config = loadContainerConfig(containerFile);
  const sandboxConfig = podFile === "" ? undefined : loadPodConfig(podFile);
  const spec = config.image!;
  if (spec.userSpecifiedImage === "") spec.userSpecifiedImage = spec.image;
  if (images) {
    const auth = await authOf(call);
    log("info", `Pulling container image: ${spec.image}`);
    const names = [spec.image];
    for (const mount of config.mounts) {
      if (!mount.image?.image) continue;
      log(
        "info",
        `Pulling image ${mount.image.image} to be mounted to container path: ${mount.containerPath}`,
      );
      names.push(mount.image.image);
    }
    for (const image of names)
      await images.pull(
        {
          image: { image, annotations: spec.annotations },
          ...(auth ? { auth } : {}),
          ...(sandboxConfig ? { sandboxConfig } : {}),
        },
        pullTimeout(call),
      );
  }
  const { containerId } = await runtime.call((client, options) =>
    client.createContainer({ podSandboxId, config, ...(sandboxConfig ? { sandboxConfig } : {}) }, options),
  );
  if (containerId === "") throw new Error("ContainerId is not set for container");
  return containerId;
}
