import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { CortenError, notFound } from "../../base/errors.ts";
import type { RuntimeChoice } from "../types.ts";

const outputLimit = 16 << 20;

/** The flags that come before a runtime's verb. */
export const globalsOf = (choice: RuntimeChoice): string[] => [
  "--root",
  choice.root,
  ...(choice.systemdCgroup ? ["--systemd-cgroup"] : []),
  ...(choice.criu ? ["--criu", choice.criu] : []),
];

/** Our own runtime as a program, for what blocks. Not execPath: the executable may have been replaced, and this is still the old one. */
export const ownCommand = (): string[] =>
  import.meta.url.includes("/$bunfs/")
    ? [`/proc/${process.pid}/exe`, "runc"]
    : [process.execPath, fileURLToPath(new URL("../../main.ts", import.meta.url)), "runc"];

/** Runs a verb to its end; its failure carries the runtime's own words. */
export function runCommand([program = "", ...args]: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    const parts = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const)
      child[name].setEncoding("utf8").on("data", (text: string) => {
        if (parts[name].length < outputLimit) parts[name] += text;
      });
    child.on("error", (error) => reject(new CortenError("unknown", `${program}: ${error.message}`)));
    child.on("close", (code, signal) => {
      if (code === 0) resolve(parts.stdout);
      else reject(failure(parts.stderr.trim() || `${program} ended with ${signal ?? `status ${code}`}`));
    });
  });
}

/** containerd recognises these by their text as well; runtimes have no codes. */
function failure(text: string): CortenError {
  const message = text.split("\n").at(-1) ?? text;
  if (/process already finished|no such process|container not running|not running/i.test(message))
    return notFound("process already finished: not found");
  if (/does not exist|no such file or directory|not found/i.test(message))
    return notFound(`${message}: not found`);
  return new CortenError("unknown", message);
}
