/** ARGs: those that exist by themselves, those before the first FROM, and those nobody asked for. */
import type { Platform } from "../../oci/image-spec.ts";
import { formatPlatform } from "../../oci/platform.ts";
import { locate } from "../dockerfile/errors.ts";
import { type Dockerfile, expandWord, type Instruction, type SourceRange } from "../dockerfile/index.ts";

/** An ARG as --call outline tells of it. */
export interface ArgumentInfo {
  key: string;
  value: string;
  docComment: string;
  /** Other ARGs that the default is made of. */
  uses: ReadonlySet<string>;
  ranges: readonly SourceRange[];
}

/** The platform ARGs of the global scope (reference: "Automatic platform ARGs in the global scope"). */
export function platformArguments(
  build: Platform,
  target: Platform,
  stage: string,
  buildArgs: Readonly<Record<string, string>>,
): Map<string, string> {
  const values: Record<string, string> = {
    BUILDPLATFORM: formatPlatform(build),
    BUILDOS: build.os,
    BUILDOSVERSION: build["os.version"] ?? "",
    BUILDARCH: build.architecture,
    BUILDVARIANT: build.variant ?? "",
    TARGETPLATFORM: formatPlatform(target),
    TARGETOS: target.os,
    TARGETOSVERSION: target["os.version"] ?? "",
    TARGETARCH: target.architecture,
    TARGETVARIANT: target.variant ?? "",
    TARGETSTAGE: stage === "" ? "default" : stage,
  };
  return new Map(Object.entries(values).map(([key, value]) => [key, own(buildArgs, key) ?? value]));
}

/** The ARGs before the first FROM, with their defaults expanded or the values of --build-arg. */
export function globalArguments(
  file: Dockerfile,
  automatic: ReadonlyMap<string, string>,
  buildArgs: Readonly<Record<string, string>>,
): { values: Map<string, string>; infos: Map<string, ArgumentInfo> } {
  const values = new Map(automatic);
  const infos = new Map<string, ArgumentInfo>();
  for (const instruction of file.metaArgs)
    for (const { key, value: fallback, docComment } of instruction.args) {
      let value = own(buildArgs, key);
      let uses = new Set<string>();
      if (value === undefined && fallback !== undefined)
        try {
          const expanded = expandWord(fallback, values, { escape: file.escape });
          value = expanded.text;
          uses = new Set(expanded.matched);
          // `ARG A=${A}-more` is made of what the earlier A was made of.
          if (uses.delete(key)) for (const earlier of infos.get(key)?.uses ?? []) uses.add(earlier);
        } catch (error) {
          throw locate(file, instruction.ranges, error);
        }
      if (value !== undefined) assign(values, key, value);
      infos.set(key, { key, value: value ?? "", docComment, uses, ranges: instruction.ranges });
    }
  return { values, infos };
}

/** Sets a variable; one that was there moves to the end, as in BuildKit's environments. */
export function assign(environment: Map<string, string>, key: string, value: string): void {
  environment.delete(key);
  environment.set(key, value);
}

/** A build argument's own value: names like `constructor` are no arguments. */
export const own = (values: Readonly<Record<string, string>>, key: string): string | undefined =>
  Object.hasOwn(values, key) ? values[key] : undefined;

const proxies = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"] as const;

/** The proxy variables of --build-arg, in both cases, for every RUN (reference: "Predefined ARGs"). */
export function proxyEnvironment(buildArgs: Readonly<Record<string, string>>): string[] | undefined {
  const found = new Map<string, string>();
  for (const key of Object.keys(buildArgs).sort()) found.set(key.toUpperCase(), buildArgs[key]!);
  const environment = proxies.flatMap((name) => {
    const value = found.get(name);
    return value ? [`${name}=${value}`, `${name.toLowerCase()}=${value}`] : [];
  });
  return environment.length > 0 ? environment : undefined;
}

const predefined = new Set([...proxies, ...proxies.map((name) => name.toLowerCase()), "SOURCE_DATE_EPOCH"]);

/** --build-arg names that no ARG of the file asks for and that have no meaning of their own. */
export function unusedBuildArguments(
  file: Dockerfile,
  buildArgs: Readonly<Record<string, string>>,
  automatic: ReadonlyMap<string, string>,
): string[] {
  const asked = new Set<string>();
  const ask = (instruction: Instruction): void => {
    if (instruction.kind === "arg") for (const { key } of instruction.args) asked.add(key);
  };
  file.metaArgs.forEach(ask);
  for (const stage of file.stages) stage.instructions.forEach(ask);
  return Object.keys(buildArgs)
    .filter(
      (key) => !asked.has(key) && !predefined.has(key) && !automatic.has(key) && !key.startsWith("BUILDKIT_"),
    )
    .sort();
}

/** Go's strconv.ParseBool; undefined for what it refuses. */
export function parseBoolean(text: string): boolean | undefined {
  if (/^(?:1|t|T|true|TRUE|True)$/.test(text)) return true;
  return /^(?:0|f|F|false|FALSE|False)$/.test(text) ? false : undefined;
}
