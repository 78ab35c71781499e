/**
 * Targets that build on other targets of the same command (bake's `contexts = { base = "target:base" }`). The client gets the
 * other target as a definition, which it only hands on: ours names the reference that it stands for.
 */
import { createHash, randomUUID } from "node:crypto";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type Definition,
  type DefinitionSchema,
  OpSchema,
} from "../../../../proto/gen/moby/buildkit/ops_pb.ts";
import { unimplemented } from "../../../base/errors.ts";

const scheme = "corten-build://";
/** Where the images are named that one target leaves for another; no registry has this name (RFC 6761). */
const linkedName = "corten.invalid/linked";

export const newLinkedName = (): string => `${linkedName}:${randomUUID()}`;

/** A definition that stands for a reference. */
export function definitionOf(reference: string): MessageInitShape<typeof DefinitionSchema> {
  const digestOf = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const source = toBinary(
    OpSchema,
    create(OpSchema, { op: { case: "source", value: { identifier: `${scheme}${reference}` } } }),
  );
  const last = toBinary(OpSchema, create(OpSchema, { inputs: [{ digest: digestOf(source) }] }));
  return { def: [source, last], metadata: { [digestOf(source)]: {}, [digestOf(last)]: {} } };
}

/** The reference that a definition stands for; any other definition is refused. */
export function referenceIn(name: string, definition: Pick<Definition, "def">): string {
  for (const bytes of definition.def) {
    const { op } = fromBinary(OpSchema, bytes);
    if (op.case === "source" && op.value.identifier.startsWith(scheme))
      return op.value.identifier.slice(scheme.length);
  }
  throw unimplemented(
    `input ${JSON.stringify(name)} is a low-level definition (LLB), which cannot be built here: only Dockerfiles can`,
  );
}
