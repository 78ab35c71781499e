import { expect, test } from "bun:test";
import {
  familiarName,
  familiarReference,
  formatReference,
  looksLikeIdentifier,
  parseImageName,
  parseReference,
  withDefaultTag,
  withTag,
} from "./reference.ts";

const digest = `sha256:${"a".repeat(64)}`;

test.each([
  ["nginx", "docker.io/library/nginx", "nginx"],
  ["nginx:1.27-alpine", "docker.io/library/nginx:1.27-alpine", "nginx:1.27-alpine"],
  ["library/nginx", "docker.io/library/nginx", "nginx"],
  ["docker.io/nginx", "docker.io/library/nginx", "nginx"],
  ["index.docker.io/library/nginx", "docker.io/library/nginx", "nginx"],
  ["grafana/grafana", "docker.io/grafana/grafana", "grafana/grafana"],
  ["library/a/b", "docker.io/library/a/b", "library/a/b"],
  ["localhost/x", "localhost/x", "localhost/x"],
  ["localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"],
  ["127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b"],
  ["[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"],
  ["Registry/x", "Registry/x", "Registry/x"],
  ["ghcr.io/o/n__a.b-c---d", "ghcr.io/o/n__a.b-c---d", "ghcr.io/o/n__a.b-c---d"],
  [`nginx:1@${digest}`, `docker.io/library/nginx:1@${digest}`, `nginx:1@${digest}`],
])("parseReference(%s) is %s, familiar %s", (text, full, familiar) => {
  const reference = parseReference(text);
  expect(formatReference(reference)).toBe(full);
  expect(familiarReference(reference)).toBe(familiar);
  expect(parseReference(formatReference(reference))).toEqual(reference);
});

test.each([
  ["", "invalid reference format"],
  [":tag", "invalid reference format"],
  ["a:", "invalid reference format"],
  ["a b", "invalid reference format"],
  ["a//b", "invalid reference format"],
  ["-a", "invalid reference format"],
  ["a___b", "invalid reference format"],
  ["a:-x", "invalid reference format"],
  [`a:${"x".repeat(129)}`, "invalid reference format"],
  ["a@sha256:xyz", "invalid reference format"],
  ["../../etc", "invalid reference format"],
  ["Nginx", "invalid reference format: repository name (library/Nginx) must be lowercase"],
  ["user/Nginx", "invalid reference format: repository name (user/Nginx) must be lowercase"],
  ["a".repeat(64), `invalid repository name (${"a".repeat(64)}), cannot specify 64-byte hexadecimal strings`],
  [`a@sha256:${"a".repeat(63)}`, "invalid checksum digest length"],
  [`a@sha256:${"A".repeat(64)}`, "invalid checksum digest format"],
  [`a@md5:${"a".repeat(32)}`, "unsupported digest algorithm"],
  [`x/${"a".repeat(256)}`, "repository name must not be more than 255 characters"],
])("parseReference(%s) fails: %s", (text, message) => {
  expect(() => parseReference(text)).toThrow(new Error(message));
});

test("the default tag goes only to references without tag and digest", () => {
  expect(withDefaultTag(parseReference("a")).tag).toBe("latest");
  expect(withDefaultTag(parseReference("a:b")).tag).toBe("b");
  expect(withDefaultTag(parseReference(`a@${digest}`)).tag).toBeUndefined();
});

test("parseImageName() lets a digest win over a tag", () => {
  expect(formatReference(parseImageName(`a:b@${digest}`))).toBe(`docker.io/library/a@${digest}`);
  expect(formatReference(parseImageName("a"))).toBe("docker.io/library/a:latest");
});

test("withTag() replaces tag and digest and rejects a malformed tag", () => {
  expect(familiarReference(withTag(parseReference(`a:b@${digest}`), "c"))).toBe("a:c");
  expect(() => withTag(parseReference("a"), "no/tag")).toThrow("invalid tag format");
});

test("looksLikeIdentifier() knows ids from names", () => {
  expect(["abc123", digest].every(looksLikeIdentifier)).toBe(true);
  expect(["nginx", "abc123:1", "a/b", ""].some(looksLikeIdentifier)).toBe(false);
  expect(familiarName(parseReference("docker.io/library/x"))).toBe("x");
});
