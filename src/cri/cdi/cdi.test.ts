import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Spec } from "../../oci/runtime-spec.ts";
import { injectDevices, requestedNames } from "./inject.ts";
import { parseSpecification } from "./specification.ts";

const root = mkdtempSync(join(tmpdir(), "corten-cdi-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const [etc, run] = [join(root, "etc"), join(root, "run")];
for (const directory of [etc, run]) mkdirSync(directory);

const base = (): Spec => ({
  ociVersion: "1.0.2",
  process: { args: ["x"], cwd: "/", env: ["A=1", "B=2"], user: { uid: 7, gid: 8 } },
  mounts: [{ destination: "/proc" }, { destination: "/data/below" }, { destination: "/old" }],
  linux: { resources: { devices: [{ allow: false, access: "rwm" }] } },
});

writeFileSync(
  join(etc, "vendor.yaml"),
  `cdiVersion: 0.6.0
kind: vendor.com/gpu
containerEdits:
  env: ["DRIVER=on"]
  additionalGids: [44, 0]
devices:
  - name: zero
    containerEdits:
      deviceNodes:
        - path: /dev/gpu0
          hostPath: /dev/zero
          permissions: rw
      mounts:
        - {hostPath: /lib/driver, containerPath: /data, options: [ro]}
  - name: full
    containerEdits:
      env: [B=3]
      deviceNodes:
        - {path: /dev/made, type: c, major: 5, minor: 6, fileMode: 384, uid: 0}
      hooks:
        - {hookName: createContainer, path: /bin/hook, args: [hook, a]}
`,
);

test("devices change environment, groups, device nodes, mounts and hooks; the file's own edits come once", () => {
  const spec = base();
  const out = injectDevices(spec, ["vendor.com/gpu=zero", "vendor.com/gpu=full"], [etc, run]);
  expect(spec).toEqual(base());
  expect(out.process).toMatchObject({
    env: ["A=1", "DRIVER=on", "B=3"],
    user: { uid: 7, gid: 8, additionalGids: [44] },
  });
  expect(out.linux!.devices).toEqual([
    { path: "/dev/gpu0", type: "c", major: 1, minor: 5, fileMode: 0o666, uid: 7, gid: 8 },
    { path: "/dev/made", type: "c", major: 5, minor: 6, fileMode: 0o600, uid: 0, gid: 8 },
  ]);
  expect(out.linux!.resources!.devices!.slice(1)).toEqual([
    { allow: true, type: "c", major: 1, minor: 5, access: "rw" },
    { allow: true, type: "c", major: 5, minor: 6, access: "rwm" },
  ]);
  // Before what lies below it.
  expect(out.mounts!.map(({ destination }) => destination)).toEqual([
    "/proc",
    "/data",
    "/data/below",
    "/old",
  ]);
  expect(out.mounts![1]!.options).toEqual(["ro", "rbind"]);
  expect(out.hooks).toEqual({ createContainer: [{ path: "/bin/hook", args: ["hook", "a"] }] });
});

test("names come from the field and the annotations, each once", () => {
  expect(
    requestedNames([{ name: "v.com/a=1" }], {
      "cdi.k8s.io/p_d": "v.com/a=1,v.com/b=x:2",
      "other/key": "v.com/c=3",
    }),
  ).toEqual(["v.com/a=1", "v.com/b=x:2"]);
  expect(() => requestedNames([{ name: "gpu0" }], {})).toThrow('invalid device name "gpu0"');
});

test("a later directory's device stands in for an earlier one's, a conflict within one is unresolvable", () => {
  const json = (kind: string, env: string) =>
    JSON.stringify({ cdiVersion: "0.5.0", kind, devices: [{ name: "d", containerEdits: { env: [env] } }] });
  writeFileSync(join(etc, "one.json"), json("x.com/one", "WHERE=etc"));
  writeFileSync(join(run, "one.json"), json("x.com/one", "WHERE=run"));
  writeFileSync(join(etc, "two.json"), json("x.com/two", "A=A"));
  writeFileSync(join(etc, "two-again.json"), json("x.com/two", "A=B"));
  writeFileSync(join(etc, "broken.json"), "{");
  writeFileSync(join(etc, "ignored.txt"), json("x.com/three", "A=B"));
  expect(injectDevices(base(), ["x.com/one=d"], [etc, run]).process!.env).toContain("WHERE=run");
  for (const kind of ["two", "three"])
    expect(() => injectDevices(base(), [`x.com/${kind}=d`, "x.com/one=d"], [etc, run])).toThrow(
      `unresolvable CDI devices x.com/${kind}=d`,
    );
  expect(() => injectDevices(base(), ["x.com/one=d"], [])).toThrow("CDI is disabled");
});

test("a document that breaks the rules is refused with what is wrong", () => {
  const device = { name: "d", containerEdits: {} };
  const spec = { cdiVersion: "1.0.0", kind: "a.b/c", devices: [device] };
  parseSpecification(spec, "f");
  const edits = (containerEdits: object) => ({ ...spec, containerEdits });
  for (const [document, words] of [
    [{ ...spec, cdiVersion: "9.0.0" }, "cdiVersion"],
    [{ ...spec, kind: "nothing" }, "not vendor/class"],
    [{ ...spec, devices: [] }, "no devices"],
    [{ ...spec, devices: [device, device] }, "twice"],
    [{ ...spec, devices: [{ ...device, name: "-d" }] }, "not valid"],
    [edits({ env: ["X"] }), "NAME=VALUE"],
    [edits({ deviceNodes: [{ path: "/dev/x", type: "z" }] }), "type"],
    [edits({ deviceNodes: [{ path: "/dev/x", permissions: "q" }] }), "permissions"],
    [edits({ mounts: [{ hostPath: "/x" }] }), "containerPath"],
    [edits({ hooks: [{ hookName: "never", path: "/x" }] }), "not known"],
    [edits({ intelRdt: {} }), "intelRdt"],
    [[], "not a table"],
  ] as const)
    expect(() => parseSpecification(document, "f")).toThrow(words);
});
