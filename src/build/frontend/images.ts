/** Images that a build begins with, each resolved once whatever the number of stages that name it. */
import { CortenError, messageOf } from "../../base/errors.ts";
import type { ImageConfig, Platform } from "../../oci/image-spec.ts";
import { formatPlatform } from "../../oci/platform.ts";
import { formatReference, looksLikeIdentifier, parseReference, withDefaultTag } from "../../oci/reference.ts";
import { type SourceRange, type Vertex, vertex } from "../graph.ts";
import type { BuildRequest, ImageResolver } from "../types.ts";
import { step } from "./steps.ts";
import type { Material } from "./types.ts";

export interface BaseImage {
  /** With the digest of what the name stood for. */
  shown: string;
  config: ImageConfig;
  /** One vertex for all stages: the first one's name is shown. */
  source(options: { name: string; ranges?: readonly SourceRange[] }): Vertex;
}

export class Images {
  readonly #request: BuildRequest;
  readonly #resolver: ImageResolver;
  readonly #found = new Map<string, Promise<BaseImage>>();
  readonly #materials = new Map<string, Material>();

  constructor(request: BuildRequest, resolver: ImageResolver) {
    this.#request = request;
    this.#resolver = resolver;
  }

  get materials(): Material[] {
    return [...this.#materials.values()];
  }

  /** `prefix` of the step's name: `[internal]`, `[context base]`. */
  resolve(reference: string, platform: Platform, prefix: string): Promise<BaseImage> {
    const key = `${reference} ${formatPlatform(platform)}`;
    let found = this.#found.get(key);
    if (found === undefined) {
      found = this.#resolve(reference, platform, prefix);
      this.#found.set(key, found);
    }
    return found;
  }

  async #resolve(reference: string, platform: Platform, prefix: string): Promise<BaseImage> {
    const { id, pull, auth, signal, progress } = this.#request;
    const image = await step(progress, id, `${prefix} load metadata for ${reference}`, (internal) =>
      this.#resolver.resolve(reference, {
        platform,
        pull,
        auth,
        signal,
        onProgress: (status) => internal.status(status),
      }),
    ).catch((error: unknown) => {
      const code = error instanceof CortenError ? error.code : "unknown";
      const text = `failed to resolve source metadata for ${reference}: ${messageOf(error)}`;
      throw new CortenError(code, text, { cause: error });
    });
    const { config, manifest, target } = image;
    this.#materials.set(`${image.reference} ${formatPlatform(platform)}`, {
      reference: image.reference,
      platform,
      digest: target.digest,
    });
    let source: Vertex | undefined;
    return {
      shown: image.reference.includes("@") ? image.reference : `${image.reference}@${target.digest}`,
      config,
      source: ({ name, ranges }) => {
        source ??= vertex(
          { kind: "image", reference: image.reference, manifest: manifest.digest, platform },
          [],
          { name, platform, ...(ranges && { ranges }) },
        );
        return source;
      },
    };
  }
}

/** Digits of an id that docker prints: what has fewer is a name. */
const shortId = 12;

/** The name in full; ids of images and `deb:` names stay as they are. Throws for what is no name. */
export function fullImageName(name: string): string {
  if (looksLikeIdentifier(name) && (name.startsWith("sha256:") || name.length >= shortId)) return name;
  if (name.startsWith("deb:")) return name;
  return formatReference(withDefaultTag(parseReference(name)));
}
