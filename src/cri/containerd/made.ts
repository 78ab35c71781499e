import { isCode } from "../../base/errors.ts";
import { packOptions, packRuntimeOptions, unpackSpec } from "../../containerd/client/index.ts";
import type { Spec } from "../../oci/runtime-spec.ts";
import type { RuntimeHandlerConfig } from "../config.ts";
import type { ContainerdParts } from "./context.ts";

/** The runtime of a handler as containerd is told it. */
export function runtimeOf(handler: RuntimeHandlerConfig) {
  const foreign = handler.options && packRuntimeOptions(handler.type, handler.options);
  if (foreign) return { name: handler.type, options: foreign };
  const options =
    handler.binaryName || handler.root || handler.systemdCgroup
      ? packOptions({
          binaryName: handler.binaryName ?? "",
          root: handler.root ?? "",
          systemdCgroup: handler.systemdCgroup ?? false,
        })
      : undefined;
  return { name: handler.type, ...(options ? { options } : {}) };
}

/** The container record's spec. */
export async function madeContainer(
  { client }: ContainerdParts,
  id: string,
): Promise<{ spec: Spec; runtimeType: string } | undefined> {
  try {
    const { container } = await client.containers.get({ id });
    return { spec: unpackSpec(container?.spec), runtimeType: container?.runtime?.name ?? "" };
  } catch (error) {
    if (isCode(error, "not_found")) return undefined;
    throw error;
  }
}
