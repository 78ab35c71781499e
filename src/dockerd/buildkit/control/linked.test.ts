import { expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { OpSchema } from "../../../../proto/gen/moby/buildkit/ops_pb.ts";
import { definitionOf, referenceIn } from "./linked.ts";

test("a definition stands for the reference that it was made of", () => {
  const { def = [], metadata = {} } = definitionOf("abc");
  expect(referenceIn("base", { def })).toBe("abc");
  // Clients look the last operation's input up among the others, and want metadata of each.
  expect(def).toHaveLength(2);
  expect(Object.keys(metadata)).toHaveLength(2);
});

test("a definition of anything else is refused", () => {
  const op = create(OpSchema, { op: { case: "source", value: { identifier: "docker-image://busybox" } } });
  expect(() => referenceIn("base", { def: [toBinary(OpSchema, op)] })).toThrow("only Dockerfiles can");
  expect(() => referenceIn("base", { def: [] })).toThrow('input "base"');
});
