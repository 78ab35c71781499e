import { expect, test } from "bun:test";
import type { History } from "../../oci/image-spec.ts";
import type { BuildTarget } from "../types.ts";
import { imageConfig, iso, ownLayers, squashHistory } from "./config.ts";
import type { ExportedLayer } from "./layers.ts";

const target = (history: History[], created?: string): BuildTarget => ({
  platform: { os: "linux", architecture: "amd64" },
  vertex: undefined,
  config: {
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [] },
    ...(created ? { created } : {}),
  },
  history,
});
const layer = (letter: string, seconds: number): ExportedLayer => ({
  snapshot: letter,
  diffId: `sha256:${letter.repeat(64)}`,
  blob: { mediaType: "", digest: "", size: 0 },
  createdAt: new Date(seconds * 1000),
  clamped: false,
});
const base: History = { created: "2020-01-01T00:00:00Z", created_by: "base" };
const run: History = { created_by: "RUN x" };
const label: History = { created_by: "LABEL x", empty_layer: true };

test("new entries have the time of their layer, those without one that of the entry before or the first new layer", () => {
  const layers = [layer("a", 1), layer("b", 100), layer("c", 200)];
  const config = imageConfig(target([base, label, run, label, run, label]), layers);
  expect(config.history?.map((entry) => entry.created)).toEqual([
    "2020-01-01T00:00:00Z",
    "1970-01-01T00:01:40Z",
    "1970-01-01T00:01:40Z",
    "1970-01-01T00:01:40Z",
    "1970-01-01T00:03:20Z",
    "1970-01-01T00:03:20Z",
  ]);
  expect(config.created).toBe("1970-01-01T00:03:20Z");
  expect(config.rootfs.diff_ids).toEqual(layers.map((one) => one.diffId));
});

test("without a new layer an image is as old as its base, and of nothing but configuration it has no time", () => {
  expect(imageConfig(target([base, label]), [layer("a", 1)]).created).toBe("2020-01-01T00:00:00Z");
  expect(imageConfig(target([label]), [])).not.toHaveProperty("created");
  expect(imageConfig(target([label]), [], { epoch: 5 }).created).toBe("1970-01-01T00:00:05Z");
});

test("history and layers agree in number whatever the base says", () => {
  const more = imageConfig(target([run]), [layer("a", 1), layer("b", 2)]);
  expect(more.history?.filter((entry) => !entry.empty_layer)).toHaveLength(2);
  expect(more.history?.at(-1)?.created_by).toBe("RUN x");
  const fewer = imageConfig(target([base, run]), [layer("b", 2)]);
  expect(fewer.history?.map((entry) => entry.empty_layer ?? false)).toEqual([true, false]);
});

test("what the base image did not bring is this build's", () => {
  const diff_ids = ["sha256:a"];
  const onBase = {
    ...target([base, run]),
    baseConfig: { ...target([]).config, rootfs: { type: "layers" as const, diff_ids } },
  };
  expect(ownLayers(onBase, 3)).toBe(2);
  expect(ownLayers(onBase, 0)).toBe(0);
  expect(ownLayers(target([run, run]), 2)).toBe(2);
});

test("a squashed history keeps its entries and adds one for what was merged", () => {
  const config = imageConfig(target([base, run, label, run]), [layer("a", 1), layer("b", 2), layer("c", 3)]);
  const squashed = squashHistory(config, 2, { from: "sha256:x", to: "sha256:y" });
  expect(squashed.map((entry) => entry.empty_layer ?? false)).toEqual([false, true, true, true, false]);
  expect(squashed.at(-1)?.comment).toBe("merge sha256:x to sha256:y");
});

test("times are written as Go writes them", () => {
  expect(iso(new Date(1000))).toBe("1970-01-01T00:00:01Z");
  expect(iso(new Date(1120))).toBe("1970-01-01T00:00:01.12Z");
  expect(iso(new Date(10_000))).toBe("1970-01-01T00:00:10Z");
});
