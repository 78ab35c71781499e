import { expect, test } from "bun:test";
import { closeSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openMounts, withMounts } from "../../src/sys/mount.ts";

test("withMounts() gives a path to a tree that is mounted nowhere, which other processes can follow", async () => {
  const root = mkdtempSync(join(tmpdir(), "corten-test-"));
  try {
    for (const name of ["low", "up", "work"]) mkdirSync(join(root, name));
    writeFileSync(join(root, "low", "file"), "below");
    const options = [
      `lowerdir=${join(root, "low")}`,
      `upperdir=${join(root, "up")}`,
      `workdir=${join(root, "work")}`,
    ];
    await withMounts([{ type: "overlay", source: "overlay", options }], (path) => {
      expect(Bun.spawnSync(["cat", join(path, "file")]).stdout.toString()).toBe("below");
      expect(Bun.spawnSync(["touch", join(path, "new")]).exitCode).toBe(0);
      expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(root);
    });
    expect(readFileSync(join(root, "up", "new"), "utf8")).toBe("");
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

test("openMounts() gives a tree that is mounted nowhere", () => {
  const root = mkdtempSync(join(tmpdir(), "corten-test-"));
  try {
    for (const name of ["low", "up", "work"]) mkdirSync(join(root, name));
    writeFileSync(join(root, "low", "file"), "below");
    const options = [
      `lowerdir=${join(root, "low")}`,
      `upperdir=${join(root, "up")}`,
      `workdir=${join(root, "work")}`,
    ];
    const fd = openMounts([{ type: "overlay", source: "overlay", options }]);
    try {
      expect(readFileSync(`/proc/self/fd/${fd}/file`, "utf8")).toBe("below");
      writeFileSync(`/proc/self/fd/${fd}/file`, "above");
      expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(root);
    } finally {
      closeSync(fd);
    }
    expect(readFileSync(join(root, "up", "file"), "utf8")).toBe("above");
    expect(readFileSync(join(root, "low", "file"), "utf8")).toBe("below");
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
