import { expect, test } from "bun:test";
import { createShape } from "../container/shapes.ts";
import { decode } from "./decode.ts";

test("keys of structs match whatever their case, keys of maps are kept, nulls vanish", () => {
  const body = '{"image":"x","hostconfig":{"MEMORY":5,"Binds":null},"labels":{"image":"y"},"Unknown":1}';
  expect(decode<object>(createShape, body)).toEqual({
    Image: "x",
    HostConfig: { Memory: 5 },
    Labels: { image: "y" },
  });
});

test("a command may be one string", () => {
  expect(decode<object>(createShape, '{"Cmd":"ls"}')).toEqual({ Cmd: ["ls"] });
});

test("a wrong type is refused with Go's words", () => {
  expect(() => decode(createShape, '{"Image":5}')).toThrow(
    "json: cannot unmarshal number into Go struct field Image of type string",
  );
  expect(() => decode(createShape, "[]")).toThrow("json: cannot unmarshal array");
  expect(() => decode(createShape, "{")).toThrow("invalid JSON");
});

test("a label named __proto__ is only a label", () => {
  const out = decode<{ Labels: Record<string, string> }>(createShape, '{"Labels":{"__proto__":"x"}}');
  expect(Object.keys(out.Labels)).toEqual(["__proto__"]);
  expect(Object.getPrototypeOf(out.Labels)).toBe(Object.prototype);
});
