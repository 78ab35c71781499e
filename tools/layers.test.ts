import { expect, test } from "bun:test";
import { violations } from "./layers.ts";

test("an import that goes up is named with what is allowed", () => {
  const found = violations("src/runc/kill.ts", 'import { x } from "../dockerd/x.ts";');
  expect(found).toEqual([
    "src/runc/kill.ts: runc must not import dockerd (../dockerd/x.ts); it may import sys, monitor, oci, proto, base",
  ]);
});

test("a part of a folder can be allowed without the rest of it", () => {
  expect(violations("src/dockerd/a.ts", 'import "../containerd/client/index.ts"')).toEqual([]);
  expect(violations("src/dockerd/a.ts", 'import "../containerd/metadata.ts"')).toHaveLength(1);
});
