/** Hooks (runtime-spec: config, POSIX-platform Hooks) that run while a container is created or started. */
import { isAbsolute } from "node:path";
import { invalid } from "../../base/errors.ts";
import {
  type ContainerStatus,
  type Hook,
  type HookState,
  type Hooks,
  specVersion,
} from "../../oci/runtime-spec.ts";
import type { PlannedOperation } from "../plan/encode.ts";
import { child, parent } from "./context.ts";

/** The state JSON around the place where the pid goes, which is known only when the process exists. */
export function stateAround(state: Omit<HookState, "pid">): { head: string; tail: string } {
  const { ociVersion, id, status, bundle, annotations } = state;
  const head = `${JSON.stringify({ ociVersion, id, status }).slice(0, -1)},"pid":`;
  const tail = `,${JSON.stringify({ bundle, ...(annotations && { annotations }) }).slice(1)}`;
  return { head, tail };
}

export function hookState(
  spec: { annotations?: Record<string, string> | undefined },
  id: string,
  bundle: string,
  status: ContainerStatus,
): Omit<HookState, "pid"> {
  return {
    ociVersion: specVersion,
    id,
    status,
    bundle,
    ...(spec.annotations && { annotations: spec.annotations }),
  };
}

/** Which process runs the hooks of each kind that happen inside a plan. */
const places = {
  prestart: parent,
  createRuntime: parent,
  createContainer: child,
  startContainer: child,
} as const;

export function compileHooks(
  hooks: Hooks | undefined,
  kind: keyof typeof places,
  state: Omit<HookState, "pid">,
): PlannedOperation[] {
  const { head, tail } = stateAround(state);
  return (hooks?.[kind] ?? []).map((hook, index) => {
    checkHook(hook, `hooks.${kind}[${index}]`);
    return places[kind](`hooks.${kind}[${index}]`, {
      op: "hook",
      path: hook.path,
      argv: hook.args?.length ? hook.args : [hook.path],
      env: hook.env ?? [],
      timeout: (hook.timeout ?? 0) * 1000,
      stdinHead: head,
      withPid: 1,
      stdinTail: tail,
    });
  });
}

export function checkHook(hook: Hook, where: string): void {
  if (!hook.path || !isAbsolute(hook.path)) throw invalid(`${where}: the path of a hook must be absolute`);
  if (hook.timeout !== undefined && hook.timeout <= 0)
    throw invalid(`${where}: the timeout of a hook must be greater than zero`);
}
