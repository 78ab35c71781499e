/** What images are called that a transfer stores (containerd's core/transfer/image). */
import type {
  ImageReference,
  ImageStore,
} from "../../../proto/gen/containerd/types/transfer/imagestore_pb.ts";
import type { Descriptor } from "../../oci/image-spec.ts";

export const imageNameAnnotation = "io.containerd.image.name";
export const refNameAnnotation = "org.opencontainers.image.ref.name";

/**
 * What containerd annotates an exported image's name with (core/images/archive): what comes after the repository. A name
 * without a slash is a host and nothing else.
 */
export function refNameOf(name: string): string {
  const slash = name.indexOf("/");
  const object = slash < 0 ? "" : (/[:@].*$/s.exec(name.slice(slash))?.[0] ?? "");
  return object.startsWith(":") ? object.slice(1) : object;
}

/** Names for an image of no archive, or for an archive's whole index. */
export function storedNames(store: ImageStore, { digest }: Descriptor): string[] {
  const names = store.name === "" ? [] : [store.name];
  for (const { name, isPrefix, addDigest } of store.extraReferences)
    if (!isPrefix) names.push(addDigest ? `${name}@${digest}` : name);
  return names;
}

/** Names for an entry of an archive's index, by its annotations. */
export function importedNames(store: ImageStore, entry: Descriptor): string[] {
  const names: string[] = [];
  for (const reference of store.extraReferences) {
    if (!reference.isPrefix) continue;
    const name = annotatedName(reference, entry.annotations ?? {});
    const byDigest = `${reference.name}@${entry.digest}`;
    if (name !== "") names.push(name);
    if (reference.addDigest && (name === "" || !reference.skipNamedDigest)) names.push(byDigest);
  }
  return names;
}

function annotatedName(reference: ImageReference, annotations: Record<string, string>): string {
  const full = annotations[imageNameAnnotation];
  // A full name is taken as it is, or not at all.
  if (full) return translate(reference, full) === full ? full : "";
  const short = annotations[refNameAnnotation];
  return short ? translate(reference, short) : "";
}

/** A tag alone belongs to the prefix; a full name must have it, unless others are allowed. */
function translate({ name: prefix, allowOverwrite }: ImageReference, text: string): string {
  if (prefix === "") return "";
  if (!/[/:@]/.test(text)) return `${prefix}:${text}`;
  if (allowOverwrite) return text;
  const next = text.startsWith(prefix) ? text.slice(prefix.length, prefix.length + 1) : "-";
  return next === "" || "/:@".includes(next) ? text : "";
}
