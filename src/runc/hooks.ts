import { CortenError, messageOf } from "../base/errors.ts";
import type { Hook, HookState } from "../oci/runtime-spec.ts";
import type { Warn } from "./types.ts";

/** Hooks that run after the plan, in the runtime's own namespaces: poststart and poststop. A failure is told, not thrown. */
export async function runHooks(
  hooks: Hook[] | undefined,
  kind: "poststart" | "poststop",
  state: HookState,
  warn: Warn,
): Promise<void> {
  for (const [index, hook] of (hooks ?? []).entries()) {
    try {
      await runHook(hook, JSON.stringify(state));
    } catch (error) {
      warn(`error running ${kind} hook #${index}: ${messageOf(error)}`);
    }
  }
}

/** Runs one hook with the state on its stdin; its output is bounded, and so is its time if it says so. */
export async function runHook(hook: Hook, input: string): Promise<void> {
  // Loaded by those who have hooks: 0.7 ms of every start otherwise.
  const { spawn } = await import("node:child_process");
  return new Promise((resolve, reject) => {
    const environment = Object.fromEntries(
      (hook.env ?? []).map((entry) => {
        const equals = entry.indexOf("=");
        return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
      }),
    );
    const [argv0 = hook.path, ...args] = hook.args ?? [];
    const child = spawn(hook.path, args, {
      argv0,
      env: environment,
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    let output = "";
    const collect = (chunk: Buffer) => {
      if (output.length < 4096) output += chunk.toString("utf8");
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    let late = false;
    const timer = hook.timeout
      ? setTimeout(() => {
          late = true;
          // The hook leads a process group of its own: its children end with it.
          if (child.pid) process.kill(-child.pid, "SIGKILL");
        }, hook.timeout * 1000)
      : undefined;
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(new CortenError("internal", `${hook.path}: ${messageOf(error)}`, { cause: error }));
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve();
      const why = late
        ? `timed out after ${hook.timeout} s`
        : signal
          ? `killed by ${signal}`
          : `exit status ${code}`;
      reject(new CortenError("internal", `${hook.path}: ${why}, stdout and stderr: ${output.trim()}`));
    });
  });
}
