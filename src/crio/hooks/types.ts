/** A hook of hooks.d (oci-hooks(5), version 1.0.0). */
export interface HookFile {
  path: string;
  args: string[];
  env: string[];
  timeout?: number;
  when: When;
  stages: Stage[];
}

export interface When {
  always?: boolean;
  /** Patterns for an annotation's key and its value: one annotation must have both. */
  annotations: Array<[RegExp, RegExp]>;
  commands: RegExp[];
  hasBindMounts?: boolean;
}

export const stages = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;

export type Stage = (typeof stages)[number];

/** What a hook's conditions are about. */
export interface Subject {
  annotations: Record<string, string>;
  command: string;
  hasBindMounts: boolean;
}
