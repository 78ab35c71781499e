import { unimplemented } from "../base/errors.ts";
import type { DebImage, DebImageOptions } from "./types.ts";

/** Composes the image a `deb:` reference names and puts all of it into the sink. */
export async function buildDebImage(_reference: string, _options: DebImageOptions): Promise<DebImage> {
  throw unimplemented("deb images are not there yet");
}
