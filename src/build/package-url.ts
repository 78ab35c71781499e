import type { Platform } from "../oci/image-spec.ts";
import { formatPlatform } from "../oci/platform.ts";

const layoutScheme = "oci-layout://";

/**
 * `docker.io/library/busybox:1.36` → `pkg:docker/busybox@1.36?platform=linux%2Famd64` (purl-spec, docker); an image of an
 * OCI layout is `pkg:oci/…`. undefined for a name without a repository.
 */
export function packageUrl(name: string, platform?: Platform): string | undefined {
  const [, repository = "", tag, digest] =
    /^(.+?)(?::([^:/@]+))?(?:@(.+))?$/.exec(name.replace(layoutScheme, "")) ?? [];
  if (repository === "") return undefined;
  const short = repository.replace(/^docker\.io\/(?:library\/)?/, "");
  const path = short.split("/").map(encodeURIComponent).join("/");
  const version = tag ?? digest;
  const qualifiers: string[] = [];
  if (digest !== undefined && tag !== undefined) qualifiers.push(`digest=${digest}`);
  if (platform) qualifiers.push(`platform=${encodeURIComponent(formatPlatform(platform))}`);
  const type = name.startsWith(layoutScheme) ? "oci" : "docker";
  return `pkg:${type}/${path}${version === undefined ? "" : `@${encodeURIComponent(version)}`}${qualifiers.length > 0 ? `?${qualifiers.join("&")}` : ""}`;
}
