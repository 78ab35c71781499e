import { conflict, invalid, messageOf } from "../base/errors.ts";
import type { CallContext } from "./client/local.ts";

export type { CallContext } from "./client/local.ts";

/** The last name found good: nearly all calls are for one. */
let checked: string | undefined;

/** The namespace a call is for (gRPC metadata `containerd-namespace`); required by most services. */
export function namespaceOf(context: CallContext): string {
  const namespace = context.requestHeader.get("containerd-namespace");
  if (!namespace) throw conflict("namespace is required: failed precondition");
  if (namespace === checked) return namespace;
  try {
    checkIdentifier(namespace, "namespace");
  } catch (error) {
    throw invalid(`namespace validation: ${messageOf(error)}`);
  }
  checked = namespace;
  return namespace;
}

/** The lease that is to hold what the call makes. */
export const leaseOf = (context: CallContext): string | undefined =>
  context.requestHeader.get("containerd-lease") ?? undefined;

const identifier = /^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$/;

/** containerd's identifiers package: what ids of containers, namespaces and processes look like. */
export function checkIdentifier(id: string, what = "identifier"): void {
  if (id === "")
    throw invalid(`${what === "identifier" ? "identifier" : what} must not be empty: invalid argument`);
  if (id.length > 76)
    throw invalid(`identifier "${id}" greater than maximum length (76 characters): invalid argument`);
  if (!identifier.test(id))
    throw invalid(`identifier "${id}" must match ${identifier.source}: invalid argument`);
}

/** containerd's labels package: key and value together are at most 4096 bytes. */
export function checkLabels(labels: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(labels)) {
    const length = Buffer.byteLength(key) + Buffer.byteLength(value);
    if (length > 4096)
      throw invalid(
        `label key and value length (${length} bytes) greater than maximum size (4096 bytes), key: ${key.slice(0, 10)}: invalid argument`,
      );
  }
}

/**
 * What a field mask does to labels: no mask or `labels` replaces all, `labels.<key>` sets that key
 * (an absent or empty value removes it).
 */
export function mergeLabels(
  before: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
  paths: readonly string[],
): Record<string, string> {
  if (paths.length === 0 || paths.includes("labels")) return { ...wanted };
  const labels = { ...before };
  for (const path of paths) {
    if (!path.startsWith("labels.")) continue;
    const key = path.slice("labels.".length);
    const value = wanted[key];
    if (value === undefined || value === "") delete labels[key];
    else labels[key] = value;
  }
  checkLabels(labels);
  return labels;
}
