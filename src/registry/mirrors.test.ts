import { expect, test } from "bun:test";
import { hostsFromMirrors } from "./mirrors.ts";

const options = { certsDir: "/nowhere" };

test("endpoints come before the registry itself, which is not asked twice", async () => {
  const settings = {
    mirrors: {
      "docker.io": ["http://mirror:5000", "https://cache/prefix/"],
      own: ["http://own"],
      "*": ["http://any"],
    },
    tls: { cache: { insecureSkipVerify: true } },
  };
  const short = async (registry: string) =>
    (await hostsFromMirrors(settings, registry, options))?.map(
      ({ scheme, host, path, tls }) => `${scheme}://${host}${path}${tls?.insecureSkipVerify ? " loose" : ""}`,
    );
  expect(await short("docker.io")).toEqual([
    "http://mirror:5000/v2",
    "https://cache/prefix loose",
    "https://registry-1.docker.io/v2",
  ]);
  expect(await short("own")).toEqual(["http://own/v2"]);
  expect(await short("else")).toEqual(["http://any/v2", "https://else/v2"]);
  expect(await short("cache")).toEqual(["http://any/v2", "https://cache/v2 loose"]);
});

test("a registry nothing is set for is the resolver's own affair", async () => {
  expect(await hostsFromMirrors({ mirrors: {}, tls: {} }, "docker.io", options)).toBeUndefined();
});
