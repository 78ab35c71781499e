import type { Hook, Spec } from "../../oci/runtime-spec.ts";
import type { HookFile, Subject, When } from "./types.ts";

/** All conditions that are given must hold; of the annotation patterns every one, of the commands any. */
export function matches(when: When, subject: Subject): boolean {
  if (when.always !== undefined && !when.always) return false;
  if (when.hasBindMounts !== undefined && when.hasBindMounts !== subject.hasBindMounts) return false;
  for (const [key, value] of when.annotations)
    if (!Object.entries(subject.annotations).some(([name, text]) => key.test(name) && value.test(text)))
      return false;
  return when.commands.length === 0 || when.commands.some((command) => command.test(subject.command));
}

/** Puts the hooks that match into the spec, after those that are there. */
export function injectHooks(spec: Spec, hooks: readonly HookFile[], subject: Subject): void {
  for (const hook of hooks) {
    if (!matches(hook.when, subject)) continue;
    const entry: Hook = {
      path: hook.path,
      args: hook.args,
      ...(hook.env.length > 0 ? { env: hook.env } : {}),
      ...(hook.timeout === undefined ? {} : { timeout: hook.timeout }),
    };
    spec.hooks ??= {};
    for (const stage of hook.stages) spec.hooks[stage] = [...(spec.hooks[stage] ?? []), entry];
  }
}
