import { invalid, messageOf } from "../../base/errors.ts";
import { debImageName } from "../../containerd/client/index.ts";
import { formatReference, parseImageName, withDigest, withTag } from "../../oci/reference.ts";

/** The name of the record that a user's text means; `deb:` names are escaped there. Throws for what is no name. */
export const recordName = (text: string): string =>
  text.startsWith("deb:") ? debImageName(text) : formatReference(parseImageName(text));

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
