import { invalid, messageOf } from "../../base/errors.ts";
import { formatReference, parseImageName, withDigest, withTag } from "../../oci/reference.ts";

/** The full name that `repo=&tag=` of commit and import ask for; undefined when they ask for none. */
export function requestedName(repo: string, tag: string): string | undefined {
  if (repo === "") return undefined;
  try {
    const named = parseImageName(repo);
    const full = tag === "" ? named : tag.includes(":") ? withDigest(named, tag) : withTag(named, tag);
    if (full.digest !== undefined) throw new Error("cannot import digest reference");
    return formatReference(full);
  } catch (error) {
    const lower = repo.toLowerCase() === repo;
    throw invalid(
      lower ? messageOf(error) : "invalid reference format: repository name must be lowercase",
      error,
    );
  }
}
