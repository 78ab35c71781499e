import type { HookStage } from "../../oci/runtime-spec.ts";

/** A hook of hooks.d (oci-hooks(5), version 1.0.0). */
export interface HookFile {
  path: string;
  args: string[];
  env: string[];
  timeout?: number;
  when: When;
  stages: HookStage[];
}

export interface When {
  always?: boolean;
  /** Patterns for an annotation's key and its value: one annotation must have both. */
  annotations: Array<[RegExp, RegExp]>;
  commands: RegExp[];
  hasBindMounts?: boolean;
}

/** What a hook's conditions are about. */
export interface Subject {
  annotations: Record<string, string>;
  command: string;
  hasBindMounts: boolean;
}
