/** `annotation.*` attributes (BuildKit's `annotation[-type][[platform]].key`). */
import { invalid } from "../../base/errors.ts";
import type { Platform } from "../../oci/image-spec.ts";
import { formatPlatform, normalizePlatform, parsePlatform } from "../../oci/platform.ts";
import type { Attributes } from "./attributes.ts";

const types = ["manifest", "manifest-descriptor", "index", "index-descriptor"] as const;
export type AnnotationType = (typeof types)[number];

interface Annotation {
  type: AnnotationType;
  platform: string | undefined;
  key: string;
  value: string;
}

const shape = /^annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)$/;

export class Annotations {
  readonly #all: Annotation[] = [];

  constructor(attributes: Attributes) {
    for (const [name, value] of Object.entries(attributes)) {
      if (!/^annotation[-.[]/.test(name)) continue;
      const [, type = "manifest", platform, key] = shape.exec(name) ?? [];
      if (key === undefined) throw invalid(`could not fully parse annotation ${name}`);
      if (!types.includes(type as AnnotationType)) throw invalid(`unrecognized annotation type ${type}`);
      this.#all.push({
        type: type as AnnotationType,
        platform: platform === undefined ? undefined : formatPlatform(parsePlatform(platform)),
        key,
        value,
      });
    }
  }

  has(...wanted: AnnotationType[]): boolean {
    return this.#all.some(({ type }) => wanted.length === 0 || wanted.includes(type));
  }

  /** Those of a type: for every platform, and for this one. */
  of(type: AnnotationType, platform?: Platform): Record<string, string> | undefined {
    const name = platform && formatPlatform(normalizePlatform(platform));
    const found = this.#all.filter(
      (one) => one.type === type && (one.platform === undefined || one.platform === name),
    );
    if (found.length === 0) return undefined;
    return Object.fromEntries(found.map(({ key, value }) => [key, value]));
  }
}
