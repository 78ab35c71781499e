/**
 * Specs as JSON. One goes through many hands within a process (as bytes through containerd's API, as a file through the
 * bundle, as part of the runtime's state), and two thirds of it are a seccomp profile that all containers share.
 */
import type { Spec } from "./runtime-spec.ts";

/** JSON of objects that many specs share by reference and nobody changes. */
const texts = new WeakMap<object, string>();

function sharedText(value: object): string {
  let text = texts.get(value);
  if (text === undefined) {
    text = JSON.stringify(value);
    texts.set(value, text);
  }
  return text;
}

/** The spec's JSON; `linux.seccomp` is written once per profile, and comes last. */
export function specText(spec: Spec): string {
  const { linux, ...outer } = spec;
  if (!linux?.seccomp) return JSON.stringify(spec);
  const { seccomp, ...others } = linux;
  return append(outer, "linux", append(others, "seccomp", sharedText(seccomp)));
}

/** The JSON of `value` with one more member, whose JSON is `text`. */
export function append(value: object, name: string, text: string): string {
  const before = JSON.stringify(value);
  return `${before.slice(0, -1)}${before === "{}" ? "" : ","}${JSON.stringify(name)}:${text}}`;
}

const specs = new WeakMap<Uint8Array, Spec>();

/** The spec as bytes that `specIn` knows again while they are in this process. Neither may be changed from now on. */
export function encodeSpec(spec: Spec): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(specText(spec));
  specs.set(bytes, spec);
  return bytes;
}

/** The spec that these very bytes were made of, undefined when they came from elsewhere. */
export const specIn = (bytes: Uint8Array): Spec | undefined => specs.get(bytes);
