import { readFileSync } from "node:fs";
import { join } from "node:path";
import { invalid } from "../base/errors.ts";
import type { Spec } from "../oci/runtime-spec.ts";

/** `config.json` of a bundle, as its creator wrote it. */
export function readSpec(bundle: string): Spec {
  const path = join(bundle, "config.json");
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Spec;
  } catch (error) {
    throw invalid(`${path} cannot be read`, error);
  }
}
