import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readShimSettings } from "./shim-settings.ts";

function settingsOf(text: string) {
  const directory = mkdtempSync(join(tmpdir(), "corten-settings-"));
  try {
    const path = join(directory, "config.toml");
    writeFileSync(path, text);
    return readShimSettings(path);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("what shims are told is read from containerd's tables of both versions", () => {
  expect(readShimSettings(undefined)).toEqual({ env: [], external: [] });
  expect(settingsOf("version = 2\n")).toEqual({ env: [], external: [] });
  expect(
    settingsOf(
      '[plugins."io.containerd.shim.v1.manager"]\nenv = ["A=b"]\nexternal_runtimes = ["io.containerd.runc.v2"]\n',
    ),
  ).toEqual({ env: ["A=b"], external: ["io.containerd.runc.v2"] });
  expect(settingsOf('[plugins."io.containerd.runtime.v2.task"]\nsched_core = true\n').env).toEqual([
    "SCHED_CORE=1",
  ]);
});

test("a wrong type and a broken file are named", () => {
  expect(() => settingsOf('[plugins."io.containerd.shim.v1.manager"]\nenv = "A=b"\n')).toThrow(
    'plugins."io.containerd.shim.v1.manager".env is not a list of texts',
  );
  expect(() => settingsOf("[plugins")).toThrow("cannot read the configuration");
});
