/** Which attestations a request asks for, and what they are for each image. */
import { invalid } from "../../base/errors.ts";
import type { BuildRequest, BuildTarget, ExporterInput, ExporterResponse, Layer } from "../types.ts";
import { flag } from "./attributes.ts";
import type { OutputJob } from "./export-result.ts";
import type { Attestation, BuiltImage } from "./image.ts";
import { provenance } from "./provenance.ts";
import { sbom } from "./sbom.ts";
import type { ExportContext } from "./types.ts";

const spdxType = "https://spdx.dev/Document";

/** True when the attestation is asked for (`--provenance=false` and `disabled=true` take it back). */
function wants(request: BuildRequest, name: string): boolean {
  const attributes = request.attestations[name];
  return attributes !== undefined && !flag(attributes, "disabled", false);
}

/** The statements for each image of an output. */
export async function attestationsOf(
  job: OutputJob,
  images: readonly BuiltImage[],
): Promise<Map<BuiltImage, Attestation[]>> {
  const made = new Map<BuiltImage, Attestation[]>();
  for (const image of images) {
    const result = job.input.targets.find((one) => one.target === image.target)?.result;
    const statements = await attest(job, image.target, result?.layers ?? [], image);
    if (statements.length > 0) made.set(image, statements);
  }
  return made;
}

/** `provenance.json` and `sbom.spdx.json` of outputs that are files. */
export async function attestationFiles(
  job: OutputJob,
  target: BuildTarget,
  layers: readonly Layer[],
): Promise<{ name: string; data: Uint8Array }[]> {
  const inline = (name: string) => flag(job.request.attestations[name] ?? {}, "inline-only", false);
  const all = await attest(job, target, layers, undefined);
  return all
    .filter(({ filename }) => !inline(filename.startsWith("sbom") ? "sbom" : "provenance"))
    .map(({ filename, predicate, predicateType }) => ({
      name: safeName(filename),
      data: new TextEncoder().encode(
        `${JSON.stringify({ _type: "https://in-toto.io/Statement/v0.1", predicateType, subject: [], predicate }, undefined, 2)}\n`,
      ),
    }));
}

function safeName(name: string): string {
  if (!/^[\w.-]+$/.test(name) || name === "." || name === "..")
    throw invalid(`${JSON.stringify(name)} is no name for an attestation's file`);
  return name;
}

async function attest(
  job: OutputJob,
  target: BuildTarget,
  layers: readonly Layer[],
  image: BuiltImage | undefined,
): Promise<Attestation[]> {
  const { context, request, report } = job;
  const statements: Attestation[] = [];
  if (wants(request, "sbom")) {
    const predicate = await report.part("generating sbom", () => sbom(job, target, layers));
    statements.push({ predicateType: spdxType, predicate, filename: "sbom.spdx.json" });
  }
  if (wants(request, "provenance")) {
    const attributes = request.attestations["provenance"]!;
    const made = provenance(target, request, context, attributes, image?.manifest.layers);
    statements.push({ ...made, filename: attributes["filename"] || "provenance.json" });
  }
  return statements;
}

/** What `--metadata-file` tells of the build's provenance, attached or not; without arguments unless they are asked for. */
export function provenanceData(
  input: ExporterInput,
  request: BuildRequest,
  context: ExportContext,
): ExporterResponse {
  const asked = wants(request, "provenance") ? request.attestations["provenance"]! : { mode: "min" };
  const response: ExporterResponse = {};
  for (const { target } of input.targets) {
    const { predicate } = provenance(target, request, context, asked);
    const { os, architecture, variant } = target.platform;
    const suffix =
      input.targets.length > 1 ? `/${[os, architecture, variant].filter(Boolean).join("/")}` : "";
    response[`buildx.build.provenance${suffix}`] = JSON.stringify(predicate);
  }
  return response;
}
