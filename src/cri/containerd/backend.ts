/** CRI on containerd's client interface alone: on our containerd, in one process or not, and on any other. */
import { isCode } from "../../base/errors.ts";
import type { CriOptions } from "../context.ts";
import { imageCalls } from "../images/calls.ts";
import { openParts, podsBackend } from "../pods.ts";
import type { Backend } from "../service/backend.ts";
import type { ContainerdContext } from "./context.ts";
import { containerdEngine } from "./engine.ts";

/** The namespace of Kubernetes in every containerd. */
export const kubernetesNamespace = "k8s.io";

/** Opens the records and finds again what runs. */
export async function openBackend({ client, config, resolver }: CriOptions): Promise<Backend> {
  const { version, revision } = await client.version.version({});
  await client.namespaces.create({ namespace: { name: client.namespace } }).catch((error) => {
    if (!isCode(error, "already_exists")) throw error;
  });
  const { parts, close } = openParts(config);
  const below = { ...parts, client, resolver, own: revision === "corten" };
  const context: ContainerdContext = { ...below, engine: containerdEngine(below, version) };
  return podsBackend(context, imageCalls(context), close);
}
