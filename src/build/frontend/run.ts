/** RUN: a process on the stage's root filesystem. */
import { invalid } from "../../base/errors.ts";
import { expandWord, type Instruction } from "../dockerfile/index.ts";
import { chompHeredoc, parseHeredoc } from "../dockerfile/parser/heredoc.ts";
import { type RunOperation, vertex } from "../graph.ts";
import { commit } from "./image.ts";
import { type CompiledMounts, compileMounts } from "./mounts.ts";
import { summaryOf, withUpperKeyword } from "./names.ts";
import { directoryOf, inlineFile, nameStep, platformOf, type Scope } from "./scope.ts";
import { commandLine } from "./shell.ts";
import type { Command, StageState } from "./stage.ts";

type Run = Extract<Instruction, { kind: "run" }>;

/** Where the script of a heredoc with `#!` lies while it runs. */
const scripts = "/dev/pipes/";

export function dispatchRun(scope: Scope, state: StageState, instruction: Run, command: Command): void {
  const { request } = scope;
  const platform = platformOf(scope, state);
  const mounts = compileMounts(scope, state, instruction, command.sources);
  const { line, script, suffix } = commandOf(state, instruction);
  const args = commandLine(state, { args: line, shell: instruction.shell });
  if (args.length === 0) throw invalid("arguments are required");
  const environment = new Map(state.environment);
  if (mounts.agent !== undefined && !environment.has("SSH_AUTH_SOCK"))
    environment.set("SSH_AUTH_SOCK", mounts.agent);
  if (script !== undefined)
    mounts.add(inlineFile(script.name, script.content, 0o755, platform), (input) => ({
      type: "bind",
      input,
      source: "/",
      target: scripts,
      readonly: true,
    }));
  checkDevices(instruction);
  const name = nameStep(scope, state, shownCommand(scope, state, instruction.source + suffix, mounts), {
    onbuild: command.onbuild,
  });
  const { proxies, hostname } = scope;
  const operation: RunOperation = {
    kind: "run",
    ...(mounts.base && { base: 0 }),
    args,
    env: [...environment].map(([key, value]) => `${key}=${value}`),
    ...(proxies !== undefined && { proxyEnv: proxies }),
    cwd: directoryOf(state),
    user: state.image.config.User ?? "",
    ...(hostname !== undefined && { hostname }),
    mounts: mounts.sorted(),
    network: networkOf(scope, instruction),
    security: securityOf(scope, instruction),
    extraHosts: request.extraHosts,
    ...(request.shmSize && { shmSize: request.shmSize }),
    ...(request.ulimits.length > 0 && { ulimits: request.ulimits }),
    ...(request.cgroupParent && { cgroupParent: request.cgroupParent }),
    ...(request.resources !== undefined && { resources: request.resources }),
  };
  state.vertex = vertex(operation, mounts.inputs, {
    name,
    platform,
    ignoreCache: state.ignoreCache,
    ranges: instruction.ranges,
  });
  commit(state.image, `RUN ${historyOf(state, args)}`, { layer: true, ran: true, epoch: scope.epoch });
}

/**
 * What is run, by the form of the heredoc: alone (`RUN <<EOF`) it is the script itself, and with `#!` a file; as part
 * of a command it is given back to the shell.
 */
function commandOf(
  state: StageState,
  instruction: Run,
): { line: readonly string[]; script?: { name: string; content: string }; suffix: string } {
  const [first, ...more] = instruction.files;
  if (first === undefined) return { line: instruction.args, suffix: "" };
  const [text, ...rest] = instruction.args;
  if (text === undefined || rest.length > 0 || !instruction.shell)
    throw invalid(`parsing produced an invalid run command: [${instruction.args.join(" ")}]`);
  if (parseHeredoc(text) === undefined) {
    const documents = [first, ...more].map((file) => `\n${file.content}${file.name}`);
    return { line: [text + documents.join("")], suffix: "" };
  }
  const content = first.chomp ? chompHeredoc(first.content) : first.content;
  const suffix = ` (${summaryOf(first.content)})`;
  if (!content.startsWith("#!") || state.image.platform.os === "windows") return { line: [content], suffix };
  return { line: [scripts + first.name], script: { name: first.name, content }, suffix };
}

/** As the user wrote it, known variables in place; the values of secrets are not even known here. */
function shownCommand(scope: Scope, state: StageState, text: string, mounts: CompiledMounts): string {
  const environment = new Map(state.environment);
  for (const name of mounts.secretVariables) environment.set(name, "****");
  const options = { escape: scope.file.escape, rawQuotes: true, keepUnset: true };
  try {
    return withUpperKeyword(expandWord(text, environment, options).text);
  } catch {
    return withUpperKeyword(text);
  }
}

/** `|2 A=1 B=2 /bin/sh -c make`: with the ARGs that were declared before, whether the command uses them or not. */
function historyOf(state: StageState, args: readonly string[]): string {
  const values = new Map<string, string>();
  for (const { key, value } of state.declared) values.set(key, state.environment.get(key) ?? value ?? "");
  const declared = [...values].map(([key, value]) => `${key}=${value}`);
  return [...(declared.length > 0 ? [`|${declared.length}`, ...declared] : []), ...args].join(" ");
}

function networkOf(scope: Scope, { network }: Run): RunOperation["network"] {
  const { request } = scope;
  if (network === "default") return request.network;
  if (network === "host" && request.network !== "host" && !request.entitlements.includes("network.host"))
    throw invalid("network.host is not allowed");
  return network;
}

function securityOf(scope: Scope, { security }: Run): RunOperation["security"] {
  if (security === "insecure" && !scope.request.entitlements.includes("security.insecure"))
    throw invalid("security.insecure is not allowed");
  return security;
}

/** A device that may be missing is; there is nothing here that could give one. */
function checkDevices({ devices }: Run): void {
  const wanted = devices.find((device) => device.required);
  if (wanted !== undefined) throw invalid(`RUN --device=${wanted.name}: devices are not supported`);
}
