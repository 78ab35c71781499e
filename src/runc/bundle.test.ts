import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultSpec } from "../oci/default-spec.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import { checkSpec, parseJson, stringifyJson } from "./bundle.ts";
import { checkId, processStat } from "./state-store.ts";
import { dottedSysctl, validate } from "./validate.ts";

test("numbers beyond 2^53 and nulls of Go's JSON survive the way in and out", () => {
  const text = '{"a":18446744073709551615,"b":null,"c":[1]}';
  const value = parseJson(text, "test");
  expect(value).toEqual({ a: 18446744073709551615n, c: [1] });
  expect(stringifyJson(value)).toBe('{"a":18446744073709551615,"c":[1]}');
});

test("a configuration of the wrong shape is refused by field", () => {
  const spec = (change: object) => checkSpec({ ociVersion: "1.0.2", ...change });
  expect(() => checkSpec([])).toThrow("config.json must be an object");
  expect(() => checkSpec({})).toThrow("ociVersion is missing");
  expect(() => spec({ mounts: [{ destination: 7 }] })).toThrow("mounts[0].destination must be a string");
  expect(() => spec({ process: { args: "sh" } })).toThrow("process.args must be a list");
  expect(() => spec({ process: { user: { uid: -1 } } })).toThrow("process.user.uid must be a number");
  expect(() => spec({ linux: { namespaces: [1] } })).toThrow("linux.namespaces[0] must be an object");
});

const check = (change: (spec: Spec) => void) => () => {
  const rootfs = mkdtempSync(join(tmpdir(), "corten-rootfs-"));
  try {
    const spec = defaultSpec();
    change(spec);
    validate(spec, { rootfs, noPivot: false, unified: false, warn: () => {} });
  } finally {
    rmSync(rootfs, { recursive: true });
  }
};

test("what needs a namespace of its own is refused without one", () => {
  const without = (type: string) => (spec: Spec) => {
    spec.linux!.namespaces = spec.linux!.namespaces!.filter((namespace) => namespace.type !== type);
  };
  expect(check(() => {})).not.toThrow();
  expect(check(without("uts"))).toThrow("unable to set hostname without a private UTS namespace");
  expect(check(without("mount"))).toThrow("unable to restrict sys entries without a private MNT namespace");
  expect(
    check((spec) => {
      spec.linux!.uidMappings = [{ containerID: 0, hostID: 0, size: 1 }];
    }),
  ).toThrow("User namespace mappings specified");
});

test("sysctls are allowed where they are namespaced", () => {
  const sysctl = (name: string, change: (spec: Spec) => void = () => {}) =>
    check((spec) => {
      spec.linux!.sysctl = { [name]: "1" };
      change(spec);
    });
  expect(sysctl("net.ipv4.ip_forward")).not.toThrow();
  expect(sysctl("net/ipv4/conf/eth0.100/forwarding")).not.toThrow();
  expect(sysctl("kernel.shmmax")).not.toThrow();
  expect(sysctl("vm.swappiness")).toThrow("is not in a separate kernel namespace");
  expect(sysctl("kernel.hostname")).toThrow('conflicts with the OCI "hostname" field');
  expect(sysctl("net/../kernel/panic")).toThrow("is not in a separate kernel namespace");
  expect(
    sysctl("net.x", (spec) => {
      spec.linux!.namespaces = [{ type: "mount" }, { type: "uts" }];
    }),
  ).toThrow("not allowed in host network namespace");
});

test("a dotted and a slashed sysctl are the same, dots in names included", () => {
  expect(dottedSysctl("net/ipv4/conf/eno2.100/rp_filter")).toBe("net.ipv4.conf.eno2/100.rp_filter");
  expect(dottedSysctl("net.ipv4.x")).toBe("net.ipv4.x");
});

test("container ids are names, never paths", () => {
  for (const id of ["", ".", "..", "a/b", "a b", "a\n", "ä"]) expect(() => checkId(id)).toThrow();
  for (const id of ["a", "A-b_c.d+e", "..."]) expect(() => checkId(id)).not.toThrow();
});

test("a process' start time is read whatever its name holds", () => {
  const own = processStat(process.pid);
  expect([own?.state === "", Number(own?.startTime) > 0]).toEqual([false, true]);
  expect(processStat(2 ** 22 + 1)).toBeUndefined();
});
