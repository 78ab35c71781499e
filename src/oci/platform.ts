/** Platforms as containerd reads, prints and matches them (github.com/containerd/platforms). */
import type { Platform } from "./image-spec.ts";

/** What is thrown for text that is no platform; `code` lets errno tables read it as an invalid argument. */
export class InvalidPlatform extends Error {
  readonly code = "EINVAL";
}

const componentPattern = /^[A-Za-z0-9_.-]+$/;
const architectures = new Set(
  (
    "386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le " +
    "ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm"
  ).split(" "),
);
const systems = new Set(
  (
    "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasip1 " +
    "windows zos"
  ).split(" "),
);
const architectureOfNode: Record<string, string> = {
  x64: "amd64",
  ia32: "386",
  ppc64: "ppc64le",
  mipsel: "mipsle",
};

/** The platform this process runs on. */
export function defaultPlatform(): Platform {
  return normalizePlatform({
    os: process.platform === "win32" ? "windows" : process.platform,
    architecture: architectureOfNode[process.arch] ?? process.arch,
  });
}

/** Parses `os`, `arch`, `os/arch` or `os/arch/variant`; what is missing comes from this machine. */
export function parsePlatform(specifier: string): Platform {
  if (specifier.length > 256) throw new InvalidPlatform("platform specifier too long");
  const parts = specifier.split("/");
  for (const part of parts)
    if (!componentPattern.test(part))
      throw new InvalidPlatform(
        `${JSON.stringify(part)} is an invalid component of ${JSON.stringify(specifier)}: platform specifier component must match ${JSON.stringify(componentPattern.source)}`,
      );
  const [first, second, third] = parts as [string, string?, string?];
  if (parts.length === 1) {
    const os = normalizeSystem(first);
    if (systems.has(os)) return normalizePlatform({ os, architecture: defaultPlatform().architecture });
    const alone = normalizePlatform({ os: defaultPlatform().os, architecture: first });
    if (architectures.has(alone.architecture)) return alone;
    throw new InvalidPlatform(`${JSON.stringify(specifier)}: unknown operating system or architecture`);
  }
  if (parts.length === 2) return normalizePlatform({ os: first, architecture: second! });
  if (parts.length === 3) return normalizePlatform({ os: first, architecture: second!, variant: third! });
  throw new InvalidPlatform(`${JSON.stringify(specifier)}: cannot parse platform specifier`);
}

const normalizeSystem = (os: string): string => {
  const lower = os.toLowerCase();
  return lower === "macos" ? "darwin" : lower;
};

/** One spelling for each platform: `x86_64` is amd64, `aarch64` and `arm64/v8` are arm64, `arm` is arm/v7. */
export function normalizePlatform(platform: Platform): Platform {
  const [architecture, variant] = normalizeArchitecture(
    platform.architecture.toLowerCase(),
    (platform.variant ?? "").toLowerCase(),
  );
  const { variant: _, ...rest } = platform;
  const normalized: Platform = { ...rest, os: normalizeSystem(platform.os), architecture };
  if (variant !== "") normalized.variant = variant;
  return normalized;
}

function normalizeArchitecture(architecture: string, variant: string): [string, string] {
  switch (architecture) {
    case "i386":
      return ["386", ""];
    case "x86_64":
    case "x86-64":
    case "amd64":
      return ["amd64", variant === "v1" ? "" : variant];
    case "aarch64":
    case "arm64":
      return ["arm64", variant === "8" || variant === "v8" ? "" : variant];
    case "armhf":
      return ["arm", "v7"];
    case "armel":
      return ["arm", "v6"];
    case "arm":
      if (variant === "" || variant === "7") return ["arm", "v7"];
      return ["arm", /^[568]$/.test(variant) ? `v${variant}` : variant];
    default:
      return [architecture, variant];
  }
}

/** `linux/amd64`, `linux/arm/v7`; "unknown" for a platform without a system. */
export function formatPlatform(platform: Platform): string {
  if (platform.os === "") return "unknown";
  return [platform.os, platform.architecture, platform.variant].filter((part) => part).join("/");
}

/** Ranks platforms for one that is wanted: 0 is the best, undefined does not run there. */
export type PlatformMatcher = (candidate: Platform) => number | undefined;

/** Exactly this platform (containerd's NewMatcher), whatever else the machine could run. */
export function exactPlatform(wanted: Platform): PlatformMatcher {
  const key = matchKey(normalizePlatform(wanted));
  return (candidate) => (matchKey(normalizePlatform(candidate)) === key ? 0 : undefined);
}

/** This platform or one it also runs, best first (containerd's Only): arm/v7 takes v6 and v5, amd64 takes 386. */
export function onlyPlatform(wanted: Platform): PlatformMatcher {
  const ranks = new Map<string, number>();
  for (const platform of compatible(normalizePlatform(wanted))) {
    const key = matchKey(platform);
    if (!ranks.has(key)) ranks.set(key, ranks.size);
  }
  return (candidate) => ranks.get(matchKey(normalizePlatform(candidate)));
}

/** Every platform, in the order of the index. */
export const anyPlatform: PlatformMatcher = () => 0;

const matchKey = (platform: Platform): string =>
  `${platform.os}/${platform.architecture}/${platform.variant ?? ""}`;

function compatible(platform: Platform): Platform[] {
  const { os, architecture, variant = "" } = platform;
  const found: Platform[] = [platform];
  const level = Number(/^v(\d+)(?:\.\d+)?$/.exec(variant)?.[1] ?? Number.NaN);
  const add = (name: string, lower?: string) =>
    found.push(normalizePlatform({ os, architecture: name, ...(lower && { variant: lower }) }));
  if (architecture === "amd64") {
    for (let n = Math.min(level, 9) - 1; n >= 1; n--) add("amd64", `v${n}`);
    add("386");
  } else if (architecture === "arm64") {
    for (let n = Math.min(level, 99) - 1; n >= 8; n--) add("arm64", `v${n}`);
    for (let n = 8; n >= 5; n--) add("arm", `v${n}`);
  } else if (architecture === "arm") {
    for (let n = Math.min(level, 9) - 1; n >= 5; n--) add("arm", `v${n}`);
  }
  return found;
}

/** The entries of an index that run on the wanted platform, best first; entries without a platform come last. */
export function selectByPlatform<T extends { platform?: Platform }>(
  entries: readonly T[],
  matcher: PlatformMatcher,
): T[] {
  const ranked: Array<{ entry: T; rank: number }> = [];
  for (const entry of entries) {
    const rank = entry.platform ? matcher(entry.platform) : Number.MAX_SAFE_INTEGER;
    if (rank !== undefined) ranked.push({ entry, rank });
  }
  return ranked.sort((a, b) => a.rank - b.rank).map(({ entry }) => entry);
}
