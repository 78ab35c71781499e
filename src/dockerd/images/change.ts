import { posix } from "node:path";
import { invalid, messageOf } from "../../base/errors.ts";
import {
  expandInstruction,
  type Instruction,
  parseDockerfile,
  parsePorts,
} from "../../build/dockerfile/index.ts";
import type { ContainerConfig } from "../../oci/image-spec.ts";

/** Instructions of a Dockerfile that only change an image's configuration. */
const allowed = new Set(
  "cmd entrypoint env expose healthcheck label onbuild stopsignal user volume workdir".split(" "),
);

/** `--change` of commit and import: instructions of a Dockerfile, applied to `config` in place. */
export function applyChanges(config: ContainerConfig, changes: readonly string[]): void {
  const text = changes.join("\n");
  if (text.trim() === "") return;
  const state = { commandSet: false };
  for (const instruction of parse(text)) apply(config, state, instruction);
}

function parse(text: string): readonly Instruction[] {
  let instructions: readonly Instruction[];
  try {
    const [stage, ...more] = parseDockerfile(`FROM scratch\n${text}`).stages;
    if (!stage || more.length > 0) throw new Error("from is not a valid change command");
    instructions = stage.instructions;
  } catch (error) {
    // A word that is no instruction at all, in Docker's terms for it.
    const unknown = /unknown instruction: (\S+)/.exec(messageOf(error))?.[1];
    throw invalid(
      unknown === undefined ? messageOf(error) : `${unknown.toLowerCase()} is not a valid change command`,
      error,
    );
  }
  for (const { kind } of instructions)
    if (!allowed.has(kind)) throw invalid(`${kind} is not a valid change command`);
  return instructions;
}

function apply(config: ContainerConfig, state: { commandSet: boolean }, written: Instruction): void {
  const environment = new Map(
    (config.Env ?? []).map((entry) => {
      const at = entry.indexOf("=");
      return [entry.slice(0, at), entry.slice(at + 1)] as const;
    }),
  );
  const { instruction } = expandInstruction(written, environment);
  const command = ({ args, shell }: { args: readonly string[]; shell: boolean }) =>
    shell ? [...(config.Shell ?? ["/bin/sh", "-c"]), ...args] : [...args];
  switch (instruction.kind) {
    case "cmd":
      config.Cmd = command(instruction);
      state.commandSet = true;
      return;
    case "entrypoint":
      config.Entrypoint = command(instruction);
      if (!state.commandSet) config.Cmd = null;
      return;
    case "env":
      for (const { key, value } of instruction.env) environment.set(key, value);
      config.Env = [...environment].map(([key, value]) => `${key}=${value}`);
      return;
    case "label":
      config.Labels = { ...config.Labels };
      for (const { key, value } of instruction.labels) config.Labels[key] = value;
      return;
    case "expose":
      config.ExposedPorts = { ...config.ExposedPorts };
      for (const port of parsePorts(instruction.ports)) config.ExposedPorts[port] = {};
      return;
    case "volume":
      config.Volumes = { ...config.Volumes };
      for (const path of instruction.volumes) config.Volumes[path] = {};
      return;
    case "user":
      config.User = instruction.user;
      return;
    case "workdir":
      config.WorkingDir = absolute(config.WorkingDir ?? "", instruction.path);
      return;
    case "stopsignal":
      config.StopSignal = instruction.signal;
      return;
    case "onbuild":
      config.OnBuild = [...(config.OnBuild ?? []), instruction.trigger];
      return;
    case "healthcheck": {
      const { test, interval, timeout, startPeriod, startInterval, retries } = instruction.healthcheck;
      config.Healthcheck = {
        Test: [...test],
        ...(interval !== 0 && { Interval: interval }),
        ...(timeout !== 0 && { Timeout: timeout }),
        ...(startPeriod !== 0 && { StartPeriod: startPeriod }),
        ...(startInterval !== 0 && { StartInterval: startInterval }),
        ...(retries !== 0 && { Retries: retries }),
      };
      return;
    }
    default:
  }
}

const absolute = (base: string, path: string) => posix.resolve("/", base, path);
