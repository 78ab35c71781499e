/** Our shim as containerd finds it: a program of its name on PATH, for every daemon this test file starts from now on. */
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { corten } from "./engine.ts";

export const runtime = "io.containerd.corten.v2";

/** Puts our shim by this name into a directory on PATH; its server leaves half a second after the last task. */
export function shimOnPath(name = "containerd-shim-corten-v2"): Disposable & { program: string } {
  const directory = mkdtempSync(join(tmpdir(), "corten-shim-bin-"));
  const program = join(directory, name);
  if (corten.length === 1) symlinkSync(corten[0]!, program);
  else {
    writeFileSync(program, `#!/bin/sh\nexec ${corten.join(" ")} shim "$@"\n`);
    chmodSync(program, 0o755);
  }
  const { PATH, CORTEN_SHIM_IDLE } = process.env;
  process.env["PATH"] = `${directory}:${PATH}`;
  process.env["CORTEN_SHIM_IDLE"] ??= "500";
  return {
    program,
    [Symbol.dispose]() {
      process.env["PATH"] = PATH;
      if (CORTEN_SHIM_IDLE === undefined) delete process.env["CORTEN_SHIM_IDLE"];
      else process.env["CORTEN_SHIM_IDLE"] = CORTEN_SHIM_IDLE;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
