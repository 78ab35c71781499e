import { type Digest, isDigest } from "./digest.ts";

/** `oci-layout://` with a place, and in it a tag, a digest, or both. */
export interface LayoutReference {
  place: string;
  tag?: string;
  digest?: Digest;
}

const scheme = "oci-layout://";

/** As buildx reads them; without tag and digest it is `latest`. undefined for what is no layout's. */
export function parseLayoutReference(text: string): LayoutReference | undefined {
  if (!text.startsWith(scheme)) return undefined;
  let place = text.slice(scheme.length);
  const found: Omit<LayoutReference, "place"> = {};
  const at = place.lastIndexOf("@");
  const digest = place.slice(at + 1);
  if (at >= 0 && isDigest(digest)) {
    found.digest = digest;
    place = place.slice(0, at);
  }
  const colon = place.lastIndexOf(":");
  if (colon >= 0 && /^\w[\w.-]{0,127}$/.test(place.slice(colon + 1))) {
    found.tag = place.slice(colon + 1);
    place = place.slice(0, colon);
  }
  if (found.tag === undefined && found.digest === undefined) found.tag = "latest";
  return { place, ...found };
}

export const formatLayoutReference = ({ place, tag, digest }: LayoutReference): string =>
  `${scheme}${place}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
