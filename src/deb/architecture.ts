import { unimplemented } from "../base/errors.ts";
import type { Platform } from "../oci/image-spec.ts";
import { formatPlatform, normalizePlatform } from "../oci/platform.ts";

const table: Record<string, string> = {
  "linux/amd64": "amd64",
  "linux/386": "i386",
  "linux/arm64": "arm64",
  "linux/arm/v7": "armhf",
  "linux/arm/v8": "armhf",
  "linux/arm/v6": "armel",
  "linux/arm/v5": "armel",
  "linux/ppc64le": "ppc64el",
  "linux/s390x": "s390x",
  "linux/riscv64": "riscv64",
  "linux/mips64le": "mips64el",
  "linux/loong64": "loong64",
};

/** Debian's name of a platform. */
export function debianArchitecture(platform: Platform): string {
  const normal = normalizePlatform(platform);
  const { os, architecture } = normal;
  const found =
    table[formatPlatform(normal)] ?? (architecture === "arm" ? undefined : table[`${os}/${architecture}`]);
  if (!found) throw unimplemented(`there is no Debian architecture for ${formatPlatform(normal)}`);
  return found;
}
