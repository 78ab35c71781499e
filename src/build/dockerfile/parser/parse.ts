import type { Dockerfile, Instruction, SourceRange } from "../types.ts";

/** Parses a whole file; fails with a DockerfileError. */
export function parseDockerfile(_text: string, _options: { filename?: string } = {}): Dockerfile {
  throw new Error("being written");
}

/** Parses one trigger of a base image's OnBuild; its ranges are those of the FROM that has the base. */
export function parseTrigger(_trigger: string, _ranges: readonly SourceRange[]): Instruction {
  throw new Error("being written");
}
