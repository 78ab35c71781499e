import { CortenError, invalid, isCode, notFound } from "../../base/errors.ts";
import type { CriImage } from "../../cri/engine.ts";
import type { CrioParts } from "../context.ts";
import { expandName } from "../registries/candidates.ts";
import { isPinned } from "./pinned.ts";
import { criImage } from "./records.ts";

/** By an id, the beginning of one, a name, or a short name that stands for one here. */
export function findImage({ store, settings }: CrioParts, text: string): CriImage | undefined {
  let names: string[] = [];
  try {
    names = expandName(settings.registries, text);
  } catch {
    // An id is not always a name, and a short name may stand for nothing.
  }
  const record = store.records.find(text, names);
  if (!record) return undefined;
  return criImage(store.records, record, isPinned(settings.crio.image, store.records.namesOf(record.id)));
}

export function getImage(parts: CrioParts, text: string): CriImage {
  const image = findImage(parts, text);
  if (!image) throw notFound(`image ${JSON.stringify(text)}: not found`);
  return image;
}

/** A reference that cannot be read is the caller's mistake. */
export function nameError(text: string, error: unknown): CortenError {
  if (isCode(error, "invalid_argument") && error instanceof CortenError) return error;
  return invalid(
    `failed to parse image reference ${JSON.stringify(text)}: ${(error as Error).message}`,
    error,
  );
}
