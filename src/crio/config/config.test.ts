import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Settings } from "../context.ts";
import { applyReload } from "../reload.ts";
import { criConfig } from "./cri.ts";
import { defaultConfig } from "./defaults.ts";
import { printConfig } from "./print.ts";
import { mergeDocument, readConfig } from "./read.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "corten-crio-"));
  mkdirSync(join(dir, "crio.conf.d"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const files = () => ({ path: join(dir, "crio.conf"), dir: join(dir, "crio.conf.d") });
const write = (name: string, text: string) => writeFileSync(join(dir, name), text);

describe("crio.conf", () => {
  test("without files there are the defaults", () => {
    const { config, files: read } = readConfig(files());
    expect(config).toEqual(defaultConfig());
    expect(read).toEqual([]);
  });

  test("a file that was asked for must be there", () => {
    expect(() => readConfig({ ...files(), asked: true })).toThrow(/crio\.conf/);
  });

  test("drop-ins come after the file in the order of their names, and flags last", () => {
    write("crio.conf", '[crio.runtime]\npids_limit = 1\nlog_level = "debug"\ndefault_env = ["A=1"]\n');
    write("crio.conf.d/20-b", '[crio.runtime]\npids_limit = 3\ndefault_env = ["B=2"]\n');
    write("crio.conf.d/10-a", "[crio.runtime]\npids_limit = 2\n");
    const { config, files: read } = readConfig(files(), { crio: { api: { listen: "/x.sock" } } });
    expect(config.runtime.pids_limit).toBe(3);
    expect(config.runtime.log_level).toBe("debug");
    expect(config.runtime.default_env).toEqual(["B=2"]);
    expect(config.api.listen).toBe("/x.sock");
    expect(read.map((file) => file.slice(dir.length + 1))).toEqual([
      "crio.conf",
      "crio.conf.d/10-a",
      "crio.conf.d/20-b",
    ]);
  });

  test("a runtime's table is merged key by key, and a new one has the defaults", () => {
    write("crio.conf", '[crio.runtime.runtimes.runc]\nruntime_root = "/one"\n');
    write(
      "crio.conf.d/x",
      '[crio.runtime.runtimes.runc]\nprivileged_without_host_devices = true\n[crio.runtime.runtimes.other]\nruntime_path = "/bin/sh"\n',
    );
    const { runtimes } = readConfig(files()).config.runtime;
    expect(runtimes["runc"]).toMatchObject({ runtime_root: "/one", privileged_without_host_devices: true });
    expect(runtimes["other"]).toMatchObject({ runtime_path: "/bin/sh", runtime_type: "oci" });
  });

  test("keys that mean nothing here are told, with their file", () => {
    write("crio.conf", "[crio.runtime]\nno_such_key = 1\n[crio.nri]\nenable_nri = true\n");
    expect(readConfig(files()).unknown).toEqual([
      `${dir}/crio.conf: crio.runtime.no_such_key`,
      `${dir}/crio.conf: crio.nri`,
    ]);
  });

  test.each<[string, RegExp]>([
    ['[crio.runtime]\npids_limit = "many"', /pids_limit is not a number/],
    ['[crio.runtime]\ndefault_env = "A=1"', /default_env is not a list of strings/],
    ['[crio.runtime]\ndefault_runtime = "none"', /default_runtime "none" is not in runtimes/],
    ['[crio.runtime.runtimes.k]\nruntime_type = "vm"', /runtimes\.k\.runtime_type "vm" is not implemented/],
    ['[crio.runtime.runtimes.k]\nruntime_path = "/no/such"', /runtimes\.k\.runtime_path "\/no\/such"/],
    ['[crio.runtime.runtimes.k]\nmonitor_path = "/bin/sh"', /monitor_path and no runtime_path/],
    ["[crio.runtime]\nlog_size_max = 10", /log_size_max/],
    ['[crio.runtime]\ncgroup_manager = "x"', /cgroup_manager/],
    ['[crio.image]\nimage_volumes = "x"', /image_volumes/],
    ["crio = 1", /crio is not a table/],
    ["[crio.runtime", /crio\.conf/],
  ])("%p is refused by its key", (text, message) => {
    write("crio.conf", text);
    expect(() => readConfig(files())).toThrow(message);
  });

  test("what is printed makes the same configuration again, plain or with its defaults as comments", () => {
    write(
      "crio.conf",
      '[crio.runtime]\npids_limit = 7\ndefault_env = ["A=\\"1\\""]\n[crio.runtime.runtimes."a.b"]\ndefault_annotations = { "x/y" = "z" }\n',
    );
    const { config } = readConfig(files());
    for (const plain of [true, false]) {
      const again = defaultConfig();
      const unknown: string[] = [];
      const text = printConfig(config, plain);
      mergeDocument(again, Bun.TOML.parse(text) as Record<string, unknown>, "printed", unknown);
      expect(again).toEqual(config);
      expect(unknown).toEqual([]);
      expect(text.includes("# log_level")).toBe(!plain);
      expect(text).toMatch(/^pids_limit = 7$/m);
    }
  });

  test("the reload takes over what CRI-O reloads, and leaves the rest", () => {
    const settings: Settings = { crio: defaultConfig(), registries: { search: [], rules: [], aliases: {} } };
    const served = criConfig(settings.crio);
    write(
      "crio.conf",
      '[crio]\nroot = "/else"\n[crio.runtime]\nlog_level = "warn"\npids_limit = 9\ndefault_runtime = "two"\n[crio.runtime.runtimes.two]\nruntime_path = "/bin/sh"\n[crio.image]\npinned_images = ["a*"]\n',
    );
    const changed = applyReload(settings, served, readConfig(files()).config, {
      search: ["quay.io"],
      rules: [],
      aliases: {},
    });
    expect(changed).toEqual(["log_level", "default_runtime", "runtimes", "pinned_images", "registries.conf"]);
    expect(settings.crio.root).toBe(defaultConfig().root);
    expect(settings.crio.runtime.pids_limit).toBe(-1);
    expect(settings.registries.search).toEqual(["quay.io"]);
    expect(served.defaultRuntime).toBe("two");
    expect(served.runtimes["two"]!.binaryName).toBe("/bin/sh");
  });
});
