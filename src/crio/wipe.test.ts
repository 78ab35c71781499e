import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultConfig } from "./config/defaults.ts";
import { decideWipe, markClean, markRunning, readSigns, wipeVersion } from "./wipe.ts";

const file = (text: string | undefined, configured = true) => ({ configured, text });
const signs = (versionText: string | undefined, persistent: string | undefined, unclean = false) => ({
  versionFile: file(versionText),
  persistentFile: file(persistent),
  unclean,
});

describe("what is wiped", () => {
  test("nothing without a reboot, whatever the end was", () => {
    const none = { containers: false, images: false, storage: false };
    expect(decideWipe(signs('"1.2.0"', '"1.2.0"', true), "1.2.9")).toEqual(none);
    // An upgrade without a reboot: containers run on, and so do their images.
    expect(decideWipe(signs('"1.2.0"', '"1.1.0"'), "1.2.9")).toEqual(none);
  });

  test("containers after a reboot, images too after an upgrade, everything after an unclean end", () => {
    expect(decideWipe(signs(undefined, '"1.2.0"'), "1.2.9")).toEqual({
      containers: true,
      images: false,
      storage: false,
    });
    expect(decideWipe(signs(undefined, '"1.1.7"'), "1.2.9")).toMatchObject({
      containers: true,
      images: true,
    });
    expect(decideWipe(signs(undefined, undefined), "1.2.9")).toMatchObject({
      containers: true,
      images: true,
    });
    expect(decideWipe(signs(undefined, '"1.2.0"', true), "1.2.9")).toMatchObject({ storage: true });
    expect(decideWipe(signs("not a version", '"1.2.0"'), "1.2.9").containers).toBe(true);
  });

  test("a file that is not configured is no sign", () => {
    expect(
      decideWipe(
        { versionFile: file(undefined, false), persistentFile: file(undefined), unclean: true },
        "1.2.9",
      ),
    ).toEqual({ containers: false, images: false, storage: false });
    expect(
      decideWipe(
        { versionFile: file(undefined), persistentFile: file(undefined, false), unclean: false },
        "1.2.9",
      ).images,
    ).toBe(false);
  });
});

describe("the files of a run", () => {
  let dir = "";
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "corten-crio-"));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  test("the first start is no unclean one, a killed server's next is, a closed one's is not", () => {
    const config = {
      ...defaultConfig(),
      version_file: join(dir, "run/version"),
      version_file_persist: join(dir, "lib/version"),
      clean_shutdown_file: join(dir, "lib/clean.shutdown"),
    };
    expect(readSigns(config)).toEqual(signs(undefined, undefined));
    markRunning(config);
    const own = JSON.stringify(wipeVersion);
    expect(readSigns(config)).toEqual(signs(own, own, true));
    markClean(config);
    expect(readSigns(config)).toEqual(signs(own, own, false));
    markRunning(config);
    expect(readSigns(config).unclean).toBe(true);
    writeFileSync(config.version_file, '"0.0.1"');
    expect(decideWipe(readSigns(config), "9.9.9").storage).toBe(true);
  });
});
