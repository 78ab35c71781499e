import { expect, test } from "bun:test";
import { closeSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openMounts } from "../../src/sys/mount.ts";

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
