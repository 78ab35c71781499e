import type { CrioConfig } from "../config/types.ts";

/** `name` exactly, `name*` by its beginning, `*word*` anywhere in it; the pause image always is. */
export function isPinned(
  { pinned_images, pause_image }: Pick<CrioConfig["image"], "pinned_images" | "pause_image">,
  { tags, digests }: { tags: readonly string[]; digests: readonly string[] },
): boolean {
  const names = [...tags, ...digests];
  return [pause_image, ...pinned_images]
    .filter((pattern) => pattern !== "")
    .some((pattern) => names.some((name) => matchesPattern(pattern, name)));
}

function matchesPattern(pattern: string, name: string): boolean {
  const open = pattern.startsWith("*");
  const goesOn = pattern.endsWith("*");
  const word = pattern.replace(/^\*/, "").replace(/\*$/, "");
  if (open && goesOn) return name.includes(word);
  if (goesOn) return name.startsWith(word);
  return name === pattern;
}
