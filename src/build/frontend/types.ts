/** What the frontend is given besides the request, and what it makes of a Dockerfile. */
import type { Digest } from "../../oci/digest.ts";
import type { ImageConfig, Platform } from "../../oci/image-spec.ts";
import type { Dockerfile } from "../dockerfile/index.ts";
import type { WarningProgress } from "../progress.ts";
import type { BuildTarget, ImageResolver, SourceReader } from "../types.ts";

export interface FrontendServices {
  readonly images: ImageResolver;
  /** For Dockerfiles that are in a git repository or behind a URL; absent: such contexts are refused. */
  readonly sources?: SourceReader;
  /** BUILDPLATFORM; default this machine's. */
  readonly buildPlatform?: Platform;
}

/** An image that the build begins with or takes files of: what provenance calls a material. */
export interface Material {
  reference: string;
  platform: Platform;
  /** Of the image record's target: an index's or a manifest's. */
  digest: Digest;
}

export interface CompiledTarget extends BuildTarget {
  /** Place of its stage in the Dockerfile; absent when it is none of them. */
  stage?: number;
  /** The base image's config as it was found; absent: `FROM scratch`. */
  baseConfig?: ImageConfig;
  /** Some stage that was used must not be taken from the cache. */
  ignoreCache: boolean;
}

export interface Compiled {
  /** As the user named it, for excerpts in errors. */
  filename: string;
  /** The Dockerfile as it was read. */
  text: string;
  /** Absent when `check` was asked for and it could not be parsed. */
  dockerfile?: Dockerfile;
  /** One per platform, in the order of the request; none when only a question was asked (`call`). */
  targets: readonly CompiledTarget[];
  /**
   * Findings of the lint, each once whatever the number of platforms. The request's progress was told of them as they
   * were found, unless they were what was asked for (`check`).
   */
  warnings: readonly WarningProgress[];
  /** --build-arg names that no ARG asks for and that are not predefined, sorted. */
  unusedBuildArgs: readonly string[];
  /** --build-arg BUILDKIT_INLINE_CACHE: the image is to carry its cache. */
  inlineCache: boolean;
  /** What times are set to: request, --build-arg or global ARG SOURCE_DATE_EPOCH. */
  sourceDateEpoch?: number;
  materials: readonly Material[];
  /** --check and --call: BuildKit's `result.json`, `result.txt`, `result.statuscode` and `version`. */
  call?: Readonly<Record<string, string>>;
}
