/** The shell form of RUN, CMD and ENTRYPOINT. */
import type { StageState } from "./stage.ts";

const defaultShell = ["/bin/sh", "-c"];
const windowsShell = ["cmd", "/S", "/C"];

/** The exec form of a command line: that of the shell form begins with SHELL. */
export function commandLine(state: StageState, line: { args: readonly string[]; shell: boolean }): string[] {
  if (!line.shell) return [...line.args];
  const own = state.image.config.Shell ?? [];
  const shell = own.length > 0 ? own : state.image.platform.os === "windows" ? windowsShell : defaultShell;
  return [...shell, line.args.join(" ")];
}
