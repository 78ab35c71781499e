/** Programs by name, as execvp finds them. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** PATH's directories; those of the system where there is none. */
export const searchPath = () => (process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin").split(delimiter);

/** Where a program is that may be executed: a path itself, a name in the directories of PATH. */
export function findProgram(name: string): string | undefined {
  const candidates = name.includes("/") ? [name] : searchPath().map((directory) => join(directory, name));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
