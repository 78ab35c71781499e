import { unimplemented } from "../../base/errors.ts";
import type { BuildRequest, BuildResult, ExporterInput } from "../types.ts";
import type { ExportContext } from "./types.ts";

/** Writes every output of the request, and names what was made in the words of BuildKit's exporter response. */
export async function exportResult(
  _input: ExporterInput,
  _request: BuildRequest,
  _context: ExportContext,
): Promise<BuildResult> {
  throw unimplemented("exports are being written");
}
