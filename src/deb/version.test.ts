import { expect, test } from "bun:test";
import { compareVersions, satisfies } from "./version.ts";

/** Each is older than the next. */
const ascending = [
  "0~~",
  "0~~a",
  "0~",
  "0",
  "0.0",
  "1.0~beta1~svn1245",
  "1.0~beta1",
  "1.0~beta1-1",
  "1.0",
  "1.0-0.1",
  "1.0-1~bpo12+1",
  "1.0-1",
  "1.0-1+b1",
  "1.0-1+deb12u1",
  "1.0-1.1",
  "1.0a",
  "1.0.1",
  "1.2",
  "1.10",
  "1.22.1-9+deb12u9",
  "1.22.1-9+deb12u10",
  "2:0.1",
  "10:0",
];

test("compareVersions() orders versions as dpkg does", () => {
  for (const [i, a] of ascending.entries())
    for (const [j, b] of ascending.entries()) {
      const wanted = Math.sign(i - j);
      if (compareVersions(a, b) !== wanted) throw new Error(`${a} against ${b}: expected ${wanted}`);
    }
});

test("leading zeros, an epoch of zero and an empty revision change nothing", () => {
  for (const [a, b] of [
    ["1.01", "1.1"],
    ["0:1.0", "1.0"],
    ["1.0-0", "1.0"],
    ["1.0-00", "1.0-0"],
  ] as const)
    expect(compareVersions(a, b)).toBe(0);
});

test("satisfies() knows the five relations", () => {
  expect(satisfies("1.0", "<<", "1.1")).toBe(true);
  expect(satisfies("1.1", "<=", "1.1")).toBe(true);
  expect(satisfies("1.1", "=", "1.1-0")).toBe(true);
  expect(satisfies("1.1~", ">=", "1.1")).toBe(false);
  expect(satisfies("1.1", ">>", "1.1")).toBe(false);
});
