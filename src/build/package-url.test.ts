import { expect, test } from "bun:test";
import { packageUrl } from "./package-url.ts";

test("images have package URLs", () => {
  const platform = { os: "linux", architecture: "amd64" };
  expect(packageUrl("docker.io/library/busybox:1.36", platform)).toBe(
    "pkg:docker/busybox@1.36?platform=linux%2Famd64",
  );
  expect(packageUrl("localhost:5000/a/b:c")).toBe("pkg:docker/localhost%3A5000/a/b@c");
  expect(packageUrl("docker.io/library/a:1@sha256:ff", platform)).toBe(
    "pkg:docker/a@1?digest=sha256:ff&platform=linux%2Famd64",
  );
  expect(packageUrl("oci-layout://base:v1", platform)).toBe("pkg:oci/base@v1?platform=linux%2Famd64");
});
