import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isPinned } from "../images/pinned.ts";
import { credentialsFor } from "./auth.ts";
import { candidatesFor, expandName } from "./candidates.ts";
import { checkPolicy, parsePolicy, policyFor } from "./policy.ts";
import { parseRegistries, readRegistries } from "./read.ts";
import type { Registries } from "./types.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "corten-crio-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const parse = (text: string): Registries => {
  const { search, ...rest } = parseRegistries(Bun.TOML.parse(text) as Record<string, unknown>, "r");
  return { search: search ?? [], ...rest };
};
const digest = `sha256:${"a".repeat(64)}`;

describe("registries.conf", () => {
  test("a short name is its alias, or one name per registry to search; without either it is refused", () => {
    const registries = parse(
      'unqualified-search-registries = ["quay.io", "docker.io"]\n[aliases]\n"box" = "example.com/tools/box"\n',
    );
    expect(expandName(registries, "box:1")).toEqual(["example.com/tools/box:1"]);
    expect(expandName(registries, "nginx")).toEqual([
      "quay.io/nginx:latest",
      "docker.io/library/nginx:latest",
    ]);
    expect(() => expandName(registries, "nginx", true)).toThrow(
      /enforcing.*ambiguous list: quay\.io, docker\.io/,
    );
    expect(expandName(registries, "box", true)).toHaveLength(1);
    expect(expandName(registries, "localhost/x")).toEqual(["localhost/x:latest"]);
    expect(() => expandName(parse(""), "nginx")).toThrow(/short-name "nginx" did not resolve/);
  });

  test("mirrors come first and in order, the location last, each with its own TLS", () => {
    const registries = parse(`
[[registry]]
prefix = "example.com/team"
location = "internal:5000/mirror/team"
[[registry.mirror]]
location = "one:5000/x"
insecure = true
[[registry.mirror]]
location = "two/y"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "three"
pull-from-mirror = "tag-only"
`);
    expect(candidatesFor(registries, [], "example.com/team/app:1")).toEqual([
      { reference: "one:5000/x/app:1", insecure: true },
      { reference: "three/app:1", insecure: false },
      { reference: "internal:5000/mirror/team/app:1", insecure: false },
    ]);
    expect(
      candidatesFor(registries, [], `example.com/team/app@${digest}`).map(({ reference }) => reference),
    ).toEqual([`one:5000/x/app@${digest}`, `two/y/app@${digest}`, `internal:5000/mirror/team/app@${digest}`]);
    // The prefix ends at a part's end.
    expect(candidatesFor(registries, ["example.com"], "example.com/teams/app:1")).toEqual([
      { reference: "example.com/teams/app:1", insecure: true },
    ]);
  });

  test("the longest prefix counts, wildcards stand for a whole host, and a blocked registry is refused", () => {
    const registries = parse(`
[[registry]]
location = "example.com"
blocked = true
[[registry]]
location = "example.com/open"
[[registry]]
prefix = "*.corp.net"
location = "proxy:5000"
mirror-by-digest-only = true
[[registry.mirror]]
location = "near"
`);
    expect(() => candidatesFor(registries, [], "example.com/shut/x:1")).toThrow(/blocked/);
    expect(candidatesFor(registries, [], "example.com/open/x:1")).toHaveLength(1);
    expect(candidatesFor(registries, [], "a.corp.net:443/x/y:1").map(({ reference }) => reference)).toEqual([
      "proxy:5000/x/y:1",
    ]);
    expect(candidatesFor(registries, [], `a.corp.net/x@${digest}`)[0]!.reference).toBe(`near/x@${digest}`);
  });

  test("a later file replaces the search list, rules of the same prefix and aliases", () => {
    const path = join(dir, "registries.conf");
    mkdirSync(`${path}.d`);
    writeFileSync(
      path,
      'unqualified-search-registries = ["a"]\n[aliases]\nx = "a/x"\ny = "a/y"\n[[registry]]\nlocation = "r"\n',
    );
    writeFileSync(`${path}.d/1.conf`, '[aliases]\nx = ""\n[[registry]]\nlocation = "r"\nblocked = true\n');
    writeFileSync(`${path}.d/2.txt`, "this is not read");
    const read = readRegistries({ path, dir: `${path}.d` });
    expect(read.search).toEqual(["a"]);
    expect(read.aliases).toEqual({ y: "a/y" });
    expect(read.rules.map(({ blocked }) => blocked)).toEqual([true]);
    expect(readRegistries({ path: join(dir, "none"), dir: join(dir, "none.d") }).rules).toEqual([]);
  });

  test.each([
    ["[registries.search]\nregistries = []\n", /version 1/],
    ["[[registry]]\ninsecure = true\n", /neither prefix nor location/],
    ['[[registry]]\nlocation = "x"\ninsecure = "yes"\n', /insecure is not true or false/],
    ['[[registry]]\nlocation = "x"\n[[registry.mirror]]\ninsecure = true\n', /mirror has no location/],
    ['[[registry]]\nprefix = "*.x/y"\nlocation = "x"\n', /wildcard has no path/],
  ])("%p is refused", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
});

describe("policy.json", () => {
  const policy = (document: unknown) => parsePolicy(document, "p");
  const accept = [{ type: "insecureAcceptAnything" }];
  const reject = [{ type: "reject" }];

  test("the nearest scope of the name decides, from the tag to the host and its wildcards", () => {
    const one = policy({
      default: reject,
      transports: {
        docker: { "example.com/good": accept, "example.com/good/bad:1": reject, "*.corp.net": accept },
      },
    });
    checkPolicy(one, "example.com/good/x:1");
    checkPolicy(one, "a.corp.net/x:1");
    expect(() => checkPolicy(one, "example.com/good/bad:1")).toThrow(/rejects/);
    checkPolicy(one, "example.com/good/bad:2");
    expect(() => checkPolicy(one, "example.com/goods/x:1")).toThrow(/rejects/);
  });

  test("what needs signatures is refused and says so", () => {
    expect(() => checkPolicy(policy({ default: [{ type: "signedBy" }] }), "a.b/c:1")).toThrow(
      /"signedBy", and signatures are not verified here/,
    );
    expect(() => policy({})).toThrow(/no default/);
  });

  test("a namespace's policy comes before the configured one", () => {
    writeFileSync(join(dir, "strict.json"), JSON.stringify({ default: reject }));
    writeFileSync(join(dir, "policy.json"), JSON.stringify({ default: accept }));
    const image = { signature_policy: join(dir, "policy.json"), signature_policy_dir: dir };
    expect(policyFor(image, "strict")!.default).toEqual(reject);
    expect(policyFor(image, "other")!.default).toEqual(accept);
    expect(policyFor(image, "../x")!.default).toEqual(accept);
  });
});

describe("auth.json", () => {
  test("the longest entry that covers the image counts", () => {
    const path = join(dir, "auth.json");
    const auth = (text: string) => ({ auth: Buffer.from(text).toString("base64") });
    writeFileSync(
      path,
      JSON.stringify({
        auths: {
          "example.com": auth("a:1"),
          "example.com/team": auth("b:2"),
          "https://index.docker.io/v1/": auth("d:3"),
        },
      }),
    );
    expect(credentialsFor(path, "example.com/team/x:1")).toEqual({ username: "b", password: "2" });
    expect(credentialsFor(path, "example.com/teams/x:1")).toEqual({ username: "a", password: "1" });
    expect(credentialsFor(path, "docker.io/library/x:1")).toEqual({ username: "d", password: "3" });
    expect(credentialsFor(path, "other.com/x:1")).toBeUndefined();
    expect(credentialsFor(join(dir, "none"), "other.com/x:1")).toBeUndefined();
  });
});

describe("pinned_images", () => {
  const names = { tags: ["a.io/x/y:1"], digests: [`a.io/x/y@${digest}`] };
  const pinned = (pattern: string) =>
    isPinned({ pinned_images: [pattern], pause_image: "a.io/pause:1" }, names);

  test("match exactly, by their beginning, or by a word", () => {
    expect(pinned("a.io/x/y:1")).toBe(true);
    expect(pinned("a.io/x/y:2")).toBe(false);
    expect(pinned("a.io/x*")).toBe(true);
    expect(pinned("*x/y*")).toBe(true);
    expect(pinned("*y:1")).toBe(false);
    expect(isPinned({ pinned_images: [], pause_image: "a.io/x/y:1" }, names)).toBe(true);
  });
});
