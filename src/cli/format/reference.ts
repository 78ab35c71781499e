/** What the command line needs of image names beyond `oci/reference`. */
import { familiarName, type Reference } from "../../oci/reference.ts";

export {
  familiarName,
  familiarReference,
  parseReference,
  type Reference,
  withDefaultTag,
} from "../../oci/reference.ts";

/** What the API wants for pull and push: the name, and tag or digest. */
export function apiName(reference: Reference): { repository: string; tag: string } {
  return { repository: familiarName(reference), tag: reference.digest ?? reference.tag ?? "" };
}

/** The key of a registry's credentials: Docker Hub has an old one. */
export const registryKey = (reference: Reference) =>
  reference.domain === "docker.io" ? "https://index.docker.io/v1/" : reference.domain;

/** Corten's own `deb:pkg,pkg` names are not image references; the daemon resolves them. */
export const isDebName = (text: string) => text.startsWith("deb:");
