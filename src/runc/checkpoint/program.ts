import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Where the program is; undefined when it is not there. */
export function criuPath(program = "criu"): string | undefined {
  const candidates = program.includes("/")
    ? [program]
    : (process.env["PATH"] ?? "").split(delimiter).map((dir) => join(dir, program));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
