import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostsFromDirectory } from "./hosts-directory.ts";

const root = mkdtempSync(join(tmpdir(), "corten-hosts-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function put(folder: string, files: Record<string, string>): string {
  const top = mkdtempSync(join(root, "r-"));
  mkdirSync(join(top, folder));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(top, folder, name), text);
  return top;
}

const certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

test("mirrors come in the file's order, the server last", async () => {
  const top = put("docker.io", {
    "hosts.toml": `
server = "https://registry-1.docker.io"
[host."http://mirror.local:5000"]
  capabilities = ["pull", "resolve"]
[host."https://cache.local/prefix"]
  skip_verify = true
  [host."https://cache.local/prefix".header]
    X-Key = ["a", "b"]
[host."https://whole.local/custom/api"]
  override_path = true
`,
  });
  expect(await hostsFromDirectory([top], "docker.io")).toEqual([
    { host: "mirror.local:5000", scheme: "http", path: "/v2", capabilities: ["pull", "resolve"] },
    {
      host: "cache.local",
      scheme: "https",
      path: "/prefix/v2",
      headers: { "x-key": "a, b" },
      tls: { insecureSkipVerify: true },
    },
    { host: "whole.local", scheme: "https", path: "/custom/api", tls: {} },
    { host: "registry-1.docker.io", scheme: "https", path: "/v2", tls: {} },
  ]);
});

test("without a server the registry itself is last, with what the top of the file says of it", async () => {
  const top = put("quay.io", {
    "hosts.toml": `ca = "own.crt"\nclient = [["c.pem", "k.pem"]]\n`,
    "own.crt": certificate,
    "c.pem": "C",
    "k.pem": "K",
  });
  const [host, ...more] = (await hostsFromDirectory([top], "quay.io"))!;
  expect(more).toEqual([]);
  expect(host).toMatchObject({ host: "quay.io", scheme: "https", path: "/v2", tls: { cert: "C", key: "K" } });
  expect(host!.tls!.ca!).toContain(certificate);
});

test("a port's folder, the plain name and _default are looked for in this order, in each root", async () => {
  const file = (name: string) => ({ "hosts.toml": `server = "https://${name}"` });
  const first = put("reg_5000_", file("one"));
  const second = put("reg:5000", file("two"));
  const rest = put("_default", file("rest"));
  const chosen = async (roots: string[], registry: string) =>
    (await hostsFromDirectory(roots, registry))?.at(-1)?.host;
  expect(await chosen([first, second], "reg:5000")).toBe("one");
  expect(await chosen([second, first], "reg:5000")).toBe("two");
  expect(await chosen([first, rest], "other")).toBe("rest");
  expect(await chosen([first], "other")).toBeUndefined();
  expect(await chosen([join(root, "nowhere")], "reg:5000")).toBeUndefined();
  expect(await chosen([rest], "../etc")).toBeUndefined();
});

test("a folder with certificates only is Docker's", async () => {
  const top = put("private.local", { "ca.crt": certificate });
  const [host] = (await hostsFromDirectory([top], "private.local"))!;
  expect(host!.tls!.ca!).toContain(certificate);
});

test("what is wrong in a file is told with its name", async () => {
  for (const [text, words] of [
    ["server = 3", "server is not a string"],
    ['[host."ftp://x"]', "is not an http or https URL"],
    ['[host."https://x"]\ncapabilities = ["fly"]', 'unknown capability "fly"'],
    ["= 1", "cannot read"],
  ] as const) {
    const top = put("x.io", { "hosts.toml": text });
    const error = await hostsFromDirectory([top], "x.io").then(
      () => undefined,
      (caught: Error) => caught,
    );
    expect(error?.message).toContain(words);
    expect(error?.message).toContain("hosts.toml");
  }
});
