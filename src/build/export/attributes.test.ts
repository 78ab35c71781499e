import { expect, test } from "bun:test";
import { Annotations } from "./annotations.ts";
import { flag, layerFormat } from "./attributes.ts";

test("booleans are read as Go reads them, an attribute without a value is true", () => {
  expect(flag({}, "push", false)).toBe(false);
  expect(flag({ push: "" }, "push", false)).toBe(true);
  expect(flag({ push: "T" }, "push", false)).toBe(true);
  expect(flag({ push: "0" }, "push", true)).toBe(false);
  expect(() => flag({ push: "yes" }, "push", false)).toThrow("non-bool value specified for push");
});

test("compression has a default, a level within bounds, and names what it does not know", () => {
  expect(layerFormat({}, "none")).toEqual({ compression: "none", force: false });
  expect(layerFormat({ compression: "uncompressed", "compression-level": "3" }, "gzip")).toEqual({
    compression: "none",
    force: false,
  });
  expect(
    layerFormat({ compression: "zstd", "compression-level": "22", "force-compression": "" }, "none"),
  ).toEqual({
    compression: "zstd",
    level: 22,
    force: true,
  });
  expect(() => layerFormat({ compression: "gzip", "compression-level": "10" }, "none")).toThrow(
    "from 0 to 9",
  );
  expect(() => layerFormat({ compression: "gzip", "compression-level": "-1" }, "none")).toThrow(
    "from 0 to 9",
  );
  expect(() => layerFormat({ compression: "estargz" }, "none")).toThrow("estargz is not supported");
  expect(() => layerFormat({ compression: "lz4" }, "none")).toThrow('"lz4"');
});

test("annotations go to their kind and platform", () => {
  const annotations = new Annotations({
    name: "x",
    "annotation.all": "1",
    "annotation-manifest[linux/arm64].arm": "2",
    "annotation-index.index": "3",
    "annotation-index-descriptor.entry": "4",
  });
  expect(annotations.of("manifest")).toEqual({ all: "1" });
  expect(annotations.of("manifest", { os: "linux", architecture: "arm64", variant: "v8" })).toEqual({
    all: "1",
    arm: "2",
  });
  expect(annotations.of("index")).toEqual({ index: "3" });
  expect(annotations.of("manifest-descriptor")).toBeUndefined();
  expect(annotations.has("index", "index-descriptor")).toBe(true);
  expect(new Annotations({ name: "x" }).has()).toBe(false);
  expect(() => new Annotations({ "annotation-layer.x": "1" })).toThrow("unrecognized annotation type layer");
  expect(() => new Annotations({ "annotation[linux.x": "1" })).toThrow("could not fully parse");
});
