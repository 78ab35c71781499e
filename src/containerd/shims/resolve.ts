import { accessSync, constants, statSync } from "node:fs";
import { delimiter, dirname, isAbsolute, join } from "node:path";
import { notFound } from "../../base/errors.ts";

/** Names of the runtime that our own shim is (and of its forerunners, which old clients still ask for). */
const ownRuntimes = new Set([
  "io.containerd.runc.v2",
  "io.containerd.runc.v1",
  "io.containerd.runtime.v1.linux",
  "io.containerd.corten.v2",
]);

/** Whether a runtime's tasks are run in this process; `external` names those that are to be shims of their own all the same. */
export const isOwnRuntime = (runtime: string, external: ReadonlySet<string>): boolean =>
  ownRuntimes.has(runtime) && !external.has(runtime);

/** `io.containerd.NAME.vN` → `containerd-shim-NAME-vN` (containerd, runtime v2, "Shim authoring"); undefined for no such name. */
export function shimName(runtime: string): string | undefined {
  const parts = runtime.split(".");
  const [name = "", version = ""] = parts.slice(-2);
  if (parts.length < 2 || parts[0] === "" || !/^[\w-]+$/.test(name) || !/^[\w-]+$/.test(version))
    return undefined;
  return `containerd-shim-${name}-${version}`;
}

/** The shim's executable: an absolute path as it is, else by its name on PATH, or beside this program. */
export function findShim(runtime: string): string {
  if (isAbsolute(runtime)) {
    if (executable(runtime)) return runtime;
    throw notFound(
      `failed to resolve runtime path: invalid custom binary path: ${runtime} is not an executable file: not found`,
    );
  }
  const name = shimName(runtime);
  if (name === undefined)
    throw notFound(
      `failed to resolve runtime path: invalid runtime name ${runtime}, correct runtime name should be either format like "io.containerd.runc.v2" or a full path to the binary: not found`,
    );
  const path = process.env["PATH"] || "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const places = [...path.split(delimiter).filter(isAbsolute), dirname(process.execPath)];
  const found = places.map((directory) => join(directory, name)).find(executable);
  if (found !== undefined) return found;
  throw notFound(
    `failed to resolve runtime path: runtime "${runtime}" binary not installed "${name}": file does not exist (looked in ${[...new Set(places)].join(", ")}): not found`,
  );
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
