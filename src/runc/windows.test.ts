import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Spec } from "../oci/runtime-spec.ts";
import { explain } from "./explain.ts";
import { validate } from "./validate.ts";
import { explainWindows } from "./windows.ts";

const volume = "\\\\?\\Volume{5b4c5a4e-7c1d-4b9b-9b1f-000000000001}\\";
const container = (changes: object = {}, windows: object = {}): Spec =>
  ({
    ociVersion: "1.1.0",
    hostname: "web",
    root: { path: volume },
    process: { args: ["cmd", "/c", "echo two words"], cwd: "C:\\app", user: { username: "ContainerUser" } },
    mounts: [{ destination: "C:\\data", source: "D:\\data", options: ["ro"] }],
    windows: {
      layerFolders: ["C:\\layers\\base", "C:\\layers\\app", "C:\\scratch"],
      devices: [{ id: "24E552D7-6523-47F7-A647-D3465BF1F5CA", idType: "class" }],
      resources: { memory: { limit: 2097152 }, cpu: { maximum: 5000 }, storage: { iops: 50 } },
      network: { endpointList: ["7a010682"], DNSSearchList: ["example.org"] },
      ...windows,
    },
    ...changes,
  }) as unknown as Spec;

test("a configuration for Windows is explained field by field", () => {
  const directory = mkdtempSync(join(tmpdir(), "corten-windows-"));
  try {
    writeFileSync(join(directory, "config.json"), JSON.stringify(container()));
    expect(explain(directory)).toEqual([
      "windows  make a server silo  [windows]",
      `windows  use ${volume} as the root  [root.path]`,
      "windows  put the scratch layer C:\\scratch over 2 read-only layers  [windows.layerFolders]",
      "windows  set the host name to web  [hostname]",
      "windows  map D:\\data to C:\\data, read-only  [mounts[0]]",
      "windows  give the devices of interface class 24E552D7-6523-47F7-A647-D3465BF1F5CA  [windows.devices[0]]",
      "windows  limit memory to 2097152 bytes  [windows.resources.memory.limit]",
      "windows  set the processor maximum to 5000  [windows.resources.cpu.maximum]",
      "windows  set the system drive's iops to 50  [windows.resources.storage.iops]",
      "windows  attach the endpoint 7a010682  [windows.network.endpointList]",
      "windows  search names in example.org  [windows.network.DNSSearchList]",
      'windows  start cmd /c "echo two words" in C:\\app as ContainerUser  [process.args]',
    ]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("in a Hyper-V machine there is no root of its own", () => {
  const { root: _, ...spec } = container({}, { hyperv: { utilityVMPath: "C:\\uvm" } });
  expect(explainWindows(spec)[0]).toBe("windows  make a utility machine from C:\\uvm  [windows.hyperv]");
});

test.each<[string, Spec]>([
  ["root must not be set", container({}, { hyperv: {} })],
  ["is no volume", container({ root: { path: "C:\\rootfs" } })],
  ["at least one folder", container({}, { layerFolders: [] })],
  ["must be a list", container({}, { layerFolders: "C:\\x" })],
  ["count and maximum exclude each other", container({}, { resources: { cpu: { count: 1, maximum: 5 } } })],
  ["within 1 … 10000", container({}, { resources: { cpu: { maximum: 20000 } } })],
  ['idType must be "class"', container({}, { devices: [{ id: "x", idType: "vpci" }] })],
  ["process.cwd", container({ process: { args: ["cmd"], cwd: "app", user: {} } })],
  ["rlimits is of Linux", container({ process: { args: ["cmd"], cwd: "C:\\", user: {}, rlimits: [] } })],
  [
    "there is only ro",
    container({ mounts: [{ destination: "C:\\d", source: "C:\\s", options: ["rbind"] }] }),
  ],
  ["type must not be set", container({ mounts: [{ destination: "C:\\d", source: "C:\\s", type: "bind" }] })],
  ["must be an object", container({ windows: 5 })],
])("refused: %s", (text, spec) => {
  expect(() => explainWindows(spec)).toThrow(text);
});

test("nothing on Linux runs it, and says so", () => {
  expect(() =>
    validate(container(), { rootfs: "/", noPivot: false, unified: false, warn: () => {} }),
  ).toThrow("only a runtime on Windows (runhcs) can run it");
});
